import { compareContents, FINE_BLOCK } from '../../browse/compare-contents.js'
import { changedRanges, imageVersionOf, whyNotComparable, type ImageVersion } from '../../browse/diff-images.js'
import { RangeList } from '../../bytes/range-list.js'
import type { ReadAt } from '../../bytes/read-at.js'
import { UnsupportedError } from '../../errors/errors.js'
import type { CommandContext } from '../context.js'
import type { ProblemDocument } from '../json-errors.js'
import { stream, type Output } from '../output.js'
import { formatSize } from '../parse-size.js'
import { Progress } from '../progress.js'

/** The same disk at two times, their indices in memory. */
export interface ImagePair {
  readonly before: ReadAt
  readonly after: ReadAt
}

/** Of the documents of `diff --json`. */
export const DIFF_VERSION = 1

/** Characters of output that are written at once. */
const BATCH = 64 * 1024

/** Tells the ranges that differ while they are found. Is there any difference? */
export async function diffImages(
  pair: ImagePair,
  note: (error: unknown) => void,
  problems: () => readonly ProblemDocument[],
  { fine, json }: { readonly fine: boolean; readonly json: boolean },
  { output }: CommandContext,
): Promise<boolean> {
  const [before, after] = [await imageVersionOf(pair.before), await imageVersionOf(pair.after)]
  const candidates = await findCandidates(before, after, fine)
  const out = new RangeOutput(output, json)
  out.begin(before.size, after.size, fine ? FINE_BLOCK : before.chunks!.chunkSize!)
  if (fine) {
    const progress = new Progress()
    const total = candidates.bytes
    const onProgress = (done: number): void =>
      progress.update({ label: 'comparing', done, total, bytes: done, counts: () => `${formatSize(done)} of ${formatSize(total)}` })
    try {
      await compareContents(pair.before, pair.after, candidates, { onRange: (start, end) => out.add(start, end), onProgress, onLost: note })
    } finally {
      progress.end()
    }
  } else {
    for (let i = 0; i < candidates.count; i++) out.add(candidates.startOf(i), candidates.endOf(i))
  }
  out.end(before.size, after.size, problems)
  return out.count > 0 || before.size !== after.size
}

/** What the indices say; where they say nothing, the contents have to. */
async function findCandidates(before: ImageVersion, after: ImageVersion, fine: boolean): Promise<RangeList> {
  const why = whyNotComparable(before, after)
  if (why === undefined) return changedRanges(before, after)
  if (!fine) {
    const remedy = 'Compare their contents with --fine.'
    throw new UnsupportedError(`what changed cannot be told from the indices: ${why}`, { feature: 'changed ranges', stream: after.name, remedy })
  }
  const all = new RangeList()
  all.add(0, Math.max(before.size, after.size))
  return all
}

/** The ranges as they are found, for people or programs. */
class RangeOutput {
  count = 0
  readonly #output: Output
  readonly #json: boolean
  #bytes = 0
  #text = ''

  constructor(output: Output, json: boolean) {
    this.#output = output
    this.#json = json
  }

  begin(sizeBefore: number, sizeAfter: number, granularity: number): void {
    if (!this.#json) return
    const tail = describeTail(sizeBefore, sizeAfter)
    const head = JSON.stringify({ version: DIFF_VERSION, sizeBefore, sizeAfter, granularity, tail: tail ?? null })
    this.#text = `${head.slice(0, -1)},"ranges":[`
  }

  add(start: number, end: number): void {
    const length = end - start
    this.#text += this.#json ? `${this.count === 0 ? '' : ','}{"offset":${start},"length":${length}}` : `${start} ${length}\n`
    this.count++
    this.#bytes += length
    if (this.#text.length >= BATCH) this.#flush()
  }

  end(sizeBefore: number, sizeAfter: number, problems: () => readonly ProblemDocument[]): void {
    if (this.#json) this.#text += `],"changedBytes":${this.#bytes},"problems":${JSON.stringify(problems())}}\n`
    this.#flush()
    if (this.#json) return
    const tail = describeTail(sizeBefore, sizeAfter)
    if (tail !== undefined) {
      const [verb, where] = tail.kind === 'added' ? ['grew', 'behind the old end count'] : ['shrank', 'behind the new end count']
      this.#output.err(`the disk ${verb} from ${sizeBefore} to ${sizeAfter} bytes; the ${formatSize(tail.length)} ${where} as ${tail.kind}\n`)
    }
    this.#output.err(`${formatSize(this.#bytes)} of ${formatSize(Math.max(sizeBefore, sizeAfter))} differ, in ${this.count} ranges\n`)
  }

  #flush(): void {
    stream(this.#output, this.#text)
    this.#text = ''
  }
}

/** What only one of the images has. */
function describeTail(sizeBefore: number, sizeAfter: number): { kind: 'added' | 'removed'; offset: number; length: number } | undefined {
  if (sizeBefore === sizeAfter) return undefined
  const offset = Math.min(sizeBefore, sizeAfter)
  return { kind: sizeAfter > sizeBefore ? 'added' : 'removed', offset, length: Math.abs(sizeAfter - sizeBefore) }
}
