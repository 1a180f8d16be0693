/** Mutations for fuzzing: seeded, so that a number repeats a case. */

export type Random = () => number

/** A generator of numbers in [0, 1), the same for the same seed (mulberry32). */
export function makeRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Numbers at which lengths, counts and offsets go wrong. */
const NUMBERS = [
  0n, 1n, 2n, 15n, 16n, 23n, 24n, 40n, 255n, 4096n, 65_535n, 65_536n, 2n ** 24n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n,
  2n ** 53n - 1n, 2n ** 53n, 2n ** 62n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n,
] // prettier-ignore
const BYTES = [0, 1, 0x0a, 0x22, 0x2c, 0x2e, 0x2f, 0x5b, 0x5d, 0x7b, 0x7d, 0x7f, 0x80, 0xff]

/** The seed with one to four things changed; another one of the seeds may lend a piece. */
export function mutate(seed: Buffer, others: readonly Buffer[], random: Random): Buffer {
  let bytes: Buffer = Buffer.from(seed)
  for (let left = 1 + Math.floor(random() * 4); left > 0; left--) bytes = mutateOnce(bytes, others, random)
  return bytes
}

function mutateOnce(bytes: Buffer, others: readonly Buffer[], random: Random): Buffer {
  const below = (limit: number): number => Math.floor(random() * Math.max(1, limit))
  if (bytes.length === 0) return Buffer.from([below(256)])
  const at = below(bytes.length)
  switch (below(10)) {
    case 0:
      bytes[at]! ^= 1 << below(8)
      return bytes
    case 1:
      bytes[at] = BYTES[below(BYTES.length)]!
      return bytes
    case 2:
    case 3: {
      // Most numbers of binary formats are aligned, at least to their items.
      const place = random() < 0.7 ? at & ~7 : at
      if (place + 8 > bytes.length) return bytes
      const number = NUMBERS[below(NUMBERS.length)]! + (random() < 0.3 ? BigInt(below(64)) - 32n : 0n)
      bytes.writeBigUInt64LE(BigInt.asUintN(64, number), place)
      return bytes
    }
    case 4: {
      // A number that is a little off.
      const place = random() < 0.7 ? at & ~7 : at
      if (place + 8 > bytes.length) return bytes
      bytes.writeBigUInt64LE(BigInt.asUintN(64, bytes.readBigUInt64LE(place) + BigInt(below(129) - 64)), place)
      return bytes
    }
    case 5:
      return Buffer.from(bytes.subarray(0, at))
    case 6: {
      const length = below(64)
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)])
    }
    case 7: {
      const length = below(64)
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at)])
    }
    case 8: {
      const from = below(bytes.length)
      bytes.copyWithin(at, from, from + below(64))
      return bytes
    }
    default: {
      const other = others[below(others.length)] ?? bytes
      const from = below(other.length)
      other.copy(bytes, at, from, from + below(256))
      return bytes
    }
  }
}
