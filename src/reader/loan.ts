import type { LentBytes } from '../bytes/read-at.js'
import type { ChunkMemory } from '../cache/chunk-cache.js'
import { replaceFields } from '../errors/errors.js'
import type { ChunkHolder, ChunkLoader } from './chunk-loader.js'
import type { DeliveryPart } from './delivery.js'
import { zeroViews } from './zeros.js'

/** Smaller pieces are copied: that costs less than a chunk of megabytes that cannot be moved. */
const MIN_LENT = 32 * 1024

/** Parts of chunks that somebody borrows: waits until all are there, and keeps them in place until they are given back. */
export class Loan implements ChunkHolder {
  readonly #name: string
  readonly #loader: ChunkLoader
  readonly #parts: readonly DeliveryPart[]
  readonly #views: (Uint8Array | undefined)[]
  /** By part; undefined: not held, or copied. */
  readonly #unpins: ((() => void) | undefined)[]
  #missing = 0
  #ended = false

  constructor(name: string, loader: ChunkLoader, parts: readonly DeliveryPart[]) {
    this.#name = name
    this.#loader = loader
    this.#parts = parts
    this.#views = new Array<Uint8Array | undefined>(parts.length)
    this.#unpins = new Array<(() => void) | undefined>(parts.length)
  }

  start(): LentBytes | Promise<LentBytes> {
    const missing: number[] = []
    try {
      this.#parts.forEach((part, i) => {
        const chunk = part.ref === undefined ? undefined : this.#loader.peek(part.ref)
        if (chunk !== undefined) this.#hold(i, chunk)
        else if (part.ref !== undefined) missing.push(i)
      })
    } catch (error) {
      this.#giveBack()
      throw error
    }
    this.#missing = missing.length
    if (missing.length === 0) return this.#lend()
    return new Promise((resolve, reject) => {
      this.#loader.addHolder(this)
      const fail = (i: number, error: unknown): void => {
        const { offset, from, to } = this.#parts[i]!
        this.#end()
        this.#giveBack()
        const problem = replaceFields(error, { stream: this.#name, offset, length: to - from })
        reject(problem instanceof Error ? problem : new Error(String(problem)))
      }
      for (const i of missing) {
        if (this.#ended) return
        this.#loader.request(this.#parts[i]!.ref!, 'demand', {
          ready: (chunk) => {
            if (this.#ended) return
            this.#hold(i, chunk)
            if (--this.#missing > 0) return
            this.#end()
            resolve(this.#lend())
          },
          fail: (error) => {
            if (!this.#ended) fail(i, error)
          },
        })
      }
    })
  }

  letGo(): void {
    this.#unpins.forEach((unpin, i) => {
      if (unpin === undefined) return
      this.#views[i] = new Uint8Array(this.#views[i]!)
      this.#unpins[i] = undefined
      unpin()
    })
  }

  #hold(i: number, chunk: ChunkMemory): void {
    const { from, to, ref } = this.#parts[i]!
    const view = chunk.bytes.subarray(from, to)
    if (to - from < MIN_LENT || !this.#loader.canLend) {
      this.#views[i] = new Uint8Array(view)
    } else {
      this.#views[i] = view
      this.#unpins[i] = this.#loader.pin(ref!)
    }
  }

  /** Nothing is waited for any more. */
  #end(): void {
    this.#ended = true
    this.#loader.removeHolder(this)
  }

  #lend(): LentBytes {
    const pieces = this.#parts.flatMap((part, i) => this.#views[i] ?? zeroViews(part.to - part.from))
    return { pieces, release: () => this.#giveBack() }
  }

  #giveBack(): void {
    for (const unpin of this.#unpins.splice(0)) unpin?.()
  }
}
