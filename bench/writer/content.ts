import { randomOf, type Random } from './random.js'

const MiB = 1024 * 1024

/** Longest piece of content that is contiguous in the pool. */
const MAX_PIECE = 4 * MiB
/** Runs of one kind of data inside the pool. */
const MIN_RUN = 4 * 1024
const RUN_SPREAD = 28 * 1024
/** Share of the pool that does not compress at all; the rest are log lines that compress to a sixth or so. */
const NOISE_SHARE = 0.4

const WORDS = [
  'accepted', 'backup', 'cache', 'client', 'closed', 'connection', 'daemon', 'device', 'error', 'failed', 'finished',
  'from', 'host', 'index', 'job', 'kernel', 'lookup', 'message', 'node', 'opened', 'password', 'queue', 'request',
  'service', 'session', 'snapshot', 'started', 'status', 'stopped', 'storage', 'task', 'timeout', 'user', 'waiting',
] // prettier-ignore

/**
 * The bytes of every file: slices of a pool that zstd at level 1 halves, part noise, part log
 * lines. What a file holds depends on its seed and size alone, so that an archive and a plain
 * copy of the same tree agree.
 */
export class ContentPool {
  readonly #pool: Buffer

  constructor(poolBytes: number) {
    this.#pool = Buffer.allocUnsafeSlow(poolBytes)
    const random = randomOf(1)
    let at = 0
    while (at < poolBytes) {
      const end = Math.min(poolBytes, at + MIN_RUN + Math.floor(random() * RUN_SPREAD))
      if (random() < NOISE_SHARE) this.#fillNoise(at, end, random)
      else this.#fillText(at, end, random)
      at = end
    }
  }

  /** Calls `take` with the content in pieces, which are views: not to be changed. */
  forEachPiece(seed: number, size: number, take: (piece: Buffer) => void): void {
    const random = randomOf(seed)
    for (let left = size; left > 0; ) {
      const length = Math.min(left, MAX_PIECE, this.#pool.length / 2)
      const start = Math.floor(random() * (this.#pool.length - length))
      take(this.#pool.subarray(start, start + length))
      left -= length
    }
  }

  #fillNoise(at: number, end: number, random: Random): void {
    for (; at < end; at++) this.#pool[at] = random() * 256
  }

  #fillText(at: number, end: number, random: Random): void {
    let clock = Math.floor(random() * 1e9)
    while (at < end) {
      clock += Math.floor(random() * 50)
      let line = `${clock} host-${Math.floor(random() * 8)} ${WORDS[Math.floor(random() * WORDS.length)]}[${Math.floor(random() * 9999)}]:`
      const template = Math.floor(random() * 40)
      for (let i = 0; i < 9; i++) line += ` ${WORDS[(template * 7 + i * i) % WORDS.length]}`
      at += this.#pool.write(`${line} ${Math.floor(random() * 2 ** 32).toString(16)}\n`, at, end - at, 'latin1')
    }
  }
}
