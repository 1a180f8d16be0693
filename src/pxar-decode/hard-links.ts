import type { ReadAt } from '../bytes/read-at.js'
import { FormatError, messageOf, TruncatedError } from '../errors/errors.js'
import { damage } from './damage.js'
import type { DirBuilder } from './dir-builder.js'
import { KIND_FILE, createRecord } from './entry-record.js'
import { ITEM_HARDLINK } from './format.js'
import { readChild } from './layout.js'
import type { ProblemList } from './problems.js'
import type { TimeSlice } from './time-slice.js'

/** The hard links among the entries of one directory, until it is known what they lead to. */
export class HardLinks {
  /** Index in the builder, own FILENAME, FILENAME of the target. */
  readonly #index: number[] = []
  readonly #own: number[] = []
  readonly #target: number[] = []

  /** Entry `index` of the builder, with its FILENAME at `own`, is another name of the file whose FILENAME is at `target`. */
  add(index: number, own: number, target: number): void {
    this.#index.push(index)
    this.#own.push(own)
    this.#target.push(target)
  }

  /**
   * Gives each entry the record of its target, which is read once for all of its names. An entry whose target is of no use is
   * taken out again and reported. Returns how many targets could not be read.
   */
  async resolve(meta: ReadAt, builder: DirBuilder, problems: ProblemList, slice: TimeSlice): Promise<number> {
    const targets = this.#target
    if (targets.length === 0) return 0
    const order = Uint32Array.from(targets.keys()).sort((a, b) => targets[a]! - targets[b]! || a - b)
    const record = createRecord()
    let unreadable = 0
    let at = 0
    while (at < order.length) {
      const first = order[at]!
      const target = targets[first]!
      let failure: unknown
      try {
        await readChild(meta, target, this.#own[first]!, record)
        if (record.kind !== KIND_FILE) throw damage(meta.name, target, ITEM_HARDLINK, 'the target is not a regular file')
      } catch (error) {
        failure = error
        if (!(error instanceof FormatError || error instanceof TruncatedError)) unreadable++
      }
      for (; at < order.length && targets[order[at]!] === target; at++) {
        const index = this.#index[order[at]!]!
        if (failure === undefined) {
          builder.resolve(index, record)
        } else {
          const own = this.#own[order[at]!]!
          problems.add(own, uselessTarget(meta.name, own, target, failure), builder.nameOf(index))
          builder.drop(index)
        }
      }
      await slice.pause()
    }
    return unreadable
  }
}

function uselessTarget(stream: string, own: number, target: number, cause: unknown): FormatError {
  return new FormatError(
    `${stream}: hard link at offset ${own}: its target at offset ${target} is unusable: ${messageOf(cause)}`,
    { stream, offset: own, item: 'HARDLINK', actual: target },
    { cause },
  )
}
