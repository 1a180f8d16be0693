import { changedRanges, type ChangedRange, type ImageVersion } from '../../browse/diff-images.js'
import { diffTrees, type TreeChange } from '../../browse/diff-trees.js'
import { listSnapshots } from '../../browse/list-snapshots.js'
import { isDirectory, isRegular, type Found } from '../../browse/tree-view.js'
import { escapeName } from '../../bytes/names.js'
import { UnsupportedError, UsageError } from '../../errors/errors.js'
import { openStoreThread } from '../../source/store-thread.js'
import type { CommandContext } from '../context.js'
import { EXIT } from '../exit-codes.js'
import { entryDocument } from '../format-entry.js'
import { findTarget, withSource, type OpenSource } from '../open-source.js'
import { formatSize } from '../parse-size.js'
import type { StoreArguments } from '../store-options.js'

export interface DiffArguments extends StoreArguments {
  /** SOURCE of the later state. */
  readonly other: string
  readonly content: boolean
  readonly exitCode: boolean
  readonly json: boolean
}

const DIFF_VERSION = 1

/** `pbsfs diff`: what differs between two snapshots, folders, files or images. */
export async function diff(args: DiffArguments, context: CommandContext): Promise<number> {
  return withSource(args, context, (before) =>
    withSource({ ...args, source: args.other }, context, async (after) => {
      const [a, b] = [await findTarget(before, undefined), await findTarget(after, undefined)]
      const isImage = isRegular(a) && isRegular(b) && isWholeFile(before) && isWholeFile(after)
      if (isDirectory(a) !== isDirectory(b)) throw new UsageError('a folder and a file cannot be compared')
      const differs = isImage ? await diffImages(before, a, after, b, args, context) : await diffEntries(before, a, after, b, args, context)
      const damaged = Math.max(before.exitCode(), after.exitCode())
      return damaged !== EXIT.ok ? damaged : differs && args.exitCode ? EXIT.failed : EXIT.ok
    }),
  )
}

/** Is the source a file of the snapshot itself, and not one inside an archive? */
function isWholeFile({ source }: OpenSource): boolean {
  return source.kind === 'store' && source.selector.archive !== undefined && source.selector.inside === undefined
}

async function diffEntries(before: OpenSource, a: Found, after: OpenSource, b: Found, args: DiffArguments, { output }: CommandContext): Promise<boolean> {
  const changes = await diffTrees(
    { view: before.view, root: a },
    { view: after.view, root: b },
    { readContent: args.content, onError: after.note },
  )
  if (args.json) output.out(JSON.stringify({ version: DIFF_VERSION, changes: changes.map(changeDocument) }, null, 2) + '\n')
  else output.out(changes.map(formatChange).join(''))
  return changes.length > 0
}

function formatChange(change: TreeChange): string {
  const path = change.path.length === 0 ? '.' : escapeName(change.path)
  const shown = change.kind !== 'changed' && isDirectory(change.found) ? `${path}/` : path
  switch (change.kind) {
    case 'added':
      return `added    ${shown}\n`
    case 'removed':
      return `removed  ${shown}\n`
    case 'moved':
      return `moved    ${escapeName(change.from)} -> ${shown}\n`
    case 'changed':
      return `changed  ${shown}  (${change.parts.join(', ')})\n`
  }
}

function changeDocument(change: TreeChange): object {
  switch (change.kind) {
    case 'added':
    case 'removed':
      return { kind: change.kind, entry: entryDocument(change.path, change.found.attr) }
    case 'moved':
      return { kind: change.kind, from: escapeName(change.from), entry: entryDocument(change.path, change.found.attr) }
    case 'changed':
      return { kind: change.kind, parts: change.parts, before: entryDocument(change.path, change.before.attr), after: entryDocument(change.path, change.after.attr) }
  }
}

async function diffImages(before: OpenSource, a: Found, after: OpenSource, b: Found, args: DiffArguments, { output }: CommandContext): Promise<boolean> {
  const [one, other] = [await imageVersion(before, a), await imageVersion(after, b)]
  if (one.chunks === undefined || other.chunks === undefined) return diffEntries(before, a, after, b, args, { output } as CommandContext)
  const ranges = await changedRanges(one, other)
  const bytes = ranges.reduce((sum, { length }) => sum + length, 0)
  if (args.json) {
    output.out(JSON.stringify({ version: DIFF_VERSION, sizeBefore: one.size, sizeAfter: other.size, changedBytes: bytes, ranges }) + '\n')
  } else {
    output.out(ranges.map(formatRange).join(''))
    output.err(`${formatSize(bytes)} of ${formatSize(other.size)} differ, in ${ranges.length} ranges\n`)
  }
  return ranges.length > 0 || one.size !== other.size
}

function formatRange({ offset, length }: ChangedRange): string {
  return `${offset} ${length}\n`
}

async function imageVersion(open: OpenSource, found: Found): Promise<ImageVersion> {
  const { stream } = await open.view.content(found)
  await stream.prepare?.()
  return { name: escapeName(found.name), size: found.attr.size, chunks: stream.chunks, key: await keyOfImage(open) }
}

/** What tells the key of an image apart from others; undefined: it is not encrypted. */
async function keyOfImage({ source }: OpenSource): Promise<string | undefined> {
  if (source.kind !== 'store') return undefined
  const store = await openStoreThread({ kind: 'local', path: source.path })
  try {
    const [summary] = (await listSnapshots(store, source.selector)).snapshots
    const archive = source.selector.archive ?? ''
    const file = summary?.files.find(({ filename }) => filename === archive || filename.replace(/\.(?:fidx|didx|blob)$/, '') === archive)
    if (file === undefined || file.cryptMode !== 'encrypt') return undefined
    if (summary?.keyFingerprint !== undefined) return summary.keyFingerprint
    throw new UnsupportedError(`${archive}: its manifest does not name its key, so it is not known whether digests can be compared`, { feature: 'changed ranges' })
  } finally {
    await store.close()
  }
}
