import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BlockMap } from '#src/overlay/block-map.js'
import { CowDisk } from '#src/overlay/cow-disk.js'
import { MemoryStream } from '../support/memory-stream.js'
import { PowerFile } from '../support/power-file.js'

const BLOCK = 1024
const SIZE = 10 * BLOCK + 300
const BOOT = 'boot-one'
const header = { size: SIZE, blockSize: BLOCK, identity: 'image', image: 'vm/100/drive' }

/** The image: no two places alike, with a run of zeros. */
const backup = Buffer.from(Array.from({ length: SIZE }, (_, i) => (i > 3 * BLOCK && i < 5 * BLOCK ? 0 : 1 + (i % 101))))

/** Small numbers that repeat for the same seed. */
function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

interface Rig {
  readonly data: PowerFile
  readonly map: PowerFile
  readonly disk: CowDisk
}

async function create(seed: number): Promise<Rig> {
  const random = seeded(seed)
  // What was in the target before must never show.
  const data = new PowerFile(SIZE, random, 0xee)
  const map = new PowerFile(3 * 4096, random)
  const disk = new CowDisk(new MemoryStream(backup, { peeks: false }), data, await BlockMap.create(map, header, BOOT))
  return { data, map, disk }
}

async function reopen({ data, map }: Rig, event: 'kill' | 'power'): Promise<Rig> {
  const [nextData, nextMap] = [data.after(event), map.after(event)]
  const opened = await BlockMap.open(nextMap, 'map', event === 'kill' ? BOOT : 'boot-two')
  return { data: nextData, map: nextMap, disk: new CowDisk(new MemoryStream(backup, { peeks: false }), nextData, opened) }
}

type Op =
  | { readonly kind: 'write'; readonly at: number; readonly length: number; readonly value: number }
  | { readonly kind: 'zero' | 'fill' | 'read'; readonly at: number; readonly length: number }
  | { readonly kind: 'flush' }

const range = { at: fc.nat(SIZE - 1), length: fc.oneof(fc.integer({ min: 1, max: 3 * BLOCK }), fc.constant(BLOCK)) }
const anyOp: fc.Arbitrary<Op> = fc.oneof(
  fc.record({ kind: fc.constant('write' as const), ...range, value: fc.integer({ min: 110, max: 250 }) }),
  fc.record({ kind: fc.constantFrom('zero' as const, 'fill' as const, 'read' as const), ...range }),
  fc.record({ kind: fc.constant('flush' as const) }),
)

/** Every value a byte may have. */
class Model {
  /** Certain ones, of what was answered. */
  readonly bytes = Buffer.from(backup)
  /** Values that a loss of power may bring back or leave: everything since the last flush that was answered. */
  possible: Set<number>[] = Array.from(backup, (byte) => new Set([byte]))

  change(at: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, at)
    bytes.forEach((byte, i) => this.possible[at + i]!.add(byte))
  }

  flushed(snapshot: Buffer): void {
    this.possible = Array.from(snapshot, (byte) => new Set([byte]))
  }
}

async function apply(disk: CowDisk, model: Model, op: Op): Promise<void> {
  if (op.kind === 'flush') {
    const snapshot = Buffer.from(model.bytes)
    await disk.flush()
    model.flushed(snapshot)
    return
  }
  const length = Math.min(op.length, SIZE - op.at)
  if (op.kind === 'fill') return disk.fill(op.at, length)
  if (op.kind === 'read') return expect(Buffer.from(await disk.read(op.at, length)).equals(model.bytes.subarray(op.at, op.at + length))).toBe(true)
  const bytes = Buffer.alloc(length, op.kind === 'write' ? op.value : 0)
  if (op.kind === 'zero') await disk.zero(op.at, length)
  else await disk.write(bytes, op.at)
  model.change(op.at, bytes)
}

test('one after the other: reads give what was written last, else the backup; an end of the program loses nothing', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyOp, { maxLength: 25 }), fc.nat(), async (ops, seed) => {
      const rig = await create(seed)
      const model = new Model()
      for (const op of ops) await apply(rig.disk, model, op)
      const { disk, data } = await reopen(rig, 'kill')
      expect(Buffer.from(await disk.read(0, SIZE)).equals(model.bytes)).toBe(true)
      await disk.fill(0, SIZE)
      // Complete: the file alone is the disk.
      expect(disk.map.count).toBe(disk.map.blocks)
      expect(data.bytes.subarray(0, SIZE).equals(model.bytes)).toBe(true)
    }),
    { numRuns: 300 },
  )
})

test('a loss of power: what was flushed is there, what was not may be, and never anything else', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyOp, { maxLength: 25 }), fc.nat(), async (ops, seed) => {
      const rig = await create(seed)
      const model = new Model()
      for (const op of ops) await apply(rig.disk, model, op)
      const { disk } = await reopen(rig, 'power')
      await disk.fill(0, SIZE)
      const found = await disk.read(0, SIZE)
      found.forEach((byte, i) => {
        if (!model.possible[i]!.has(byte)) throw new Error(`byte ${i} is ${byte}, possible: ${[...model.possible[i]!].join(' ')}`)
      })
    }),
    { numRuns: 300 },
  )
})

/** Writes of several writers at once, each to bytes of its own, while everything is copied. */
const anyWriters = fc.array(fc.array(fc.record({ at: fc.nat(SIZE - 1), length: fc.integer({ min: 1, max: 700 }) }), { maxLength: 6 }), { minLength: 1, maxLength: 4 })

test('at once: writes win over the copy, whatever the order, and a kill in the middle takes none back', async () => {
  await fc.assert(
    fc.asyncProperty(anyWriters, fc.nat(), fc.nat(60), async (writers, seed, killAfter) => {
      const rig = await create(seed)
      const expected: Set<number>[] = Array.from(backup, (byte) => new Set([byte]))
      const owner = new Int8Array(SIZE).fill(-1)
      let turns = 0
      const isKilled = (): boolean => ++turns > killAfter
      const work = writers.map(async (writes, w) => {
        for (const [n, { at, length }] of writes.entries()) {
          if (isKilled()) return
          const end = Math.min(SIZE, at + length)
          // Who was first has the byte; the others leave it alone.
          let to = at
          while (to < end && (owner[to] === -1 || owner[to] === w)) owner[to++] = w
          if (to === at) continue
          const value = 110 + w * 30 + n
          for (let i = at; i < to; i++) expected[i]!.add(value)
          await rig.disk.write(Buffer.alloc(to - at, value), at)
          for (let i = at; i < to; i++) expected[i] = new Set([value])
        }
      })
      const copy = (async () => {
        for (let at = 0; at < SIZE && !isKilled(); at += 2 * BLOCK) await rig.disk.fill(at, 2 * BLOCK)
      })()
      const reads = rig.disk.read(0, SIZE)
      await Promise.all([...work, copy, reads])
      const { disk, data } = await reopen(rig, 'kill')
      await disk.fill(0, SIZE)
      data.bytes.subarray(0, SIZE).forEach((byte, i) => {
        if (!expected[i]!.has(byte)) throw new Error(`byte ${i} is ${byte}, expected ${[...expected[i]!].join(' or ')}`)
      })
    }),
    { numRuns: 300 },
  )
})

test('a kill between any two writes of a change: it is there as a whole block or not at all, the rest is the backup', async () => {
  for (let steps = 0; steps < 12; steps++) {
    const rig = await create(steps)
    rig.data.failAfter = steps
    rig.map.failAfter = steps
    await Promise.allSettled([rig.disk.write(Buffer.alloc(700, 200), 500), rig.disk.fill(0, SIZE), rig.disk.zero(6 * BLOCK, BLOCK)])
    const { disk } = await reopen(rig, 'kill')
    await disk.fill(0, SIZE)
    const found = Buffer.from(await disk.read(0, SIZE))
    for (let i = 0; i < SIZE; i++) {
      const changed = i >= 500 && i < 1200 ? 200 : i >= 6 * BLOCK && i < 7 * BLOCK ? 0 : backup[i]
      if (found[i] !== backup[i] && found[i] !== changed) throw new Error(`step ${steps}: byte ${i} is ${found[i]}`)
    }
  }
})

test('outside of the disk: refused', async () => {
  const { disk } = await create(1)
  await expect(disk.read(SIZE - 1, 2)).rejects.toThrow(/outside/)
  await expect(disk.write(Buffer.alloc(2), SIZE - 1)).rejects.toThrow(/outside/)
  await expect(disk.zero(-1, 1)).rejects.toThrow(/outside/)
})
