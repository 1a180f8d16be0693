import { diffTrees, type TreeChange } from '../../browse/diff-trees.js'
import { isDirectory, isRegular, type Found } from '../../browse/tree-view.js'
import { escapeName } from '../../bytes/names.js'
import type { ReadAt } from '../../bytes/read-at.js'
import { UsageError } from '../../errors/errors.js'
import type { CommandContext } from '../context.js'
import { EXIT } from '../exit-codes.js'
import { entryDocument } from '../format-entry.js'
import { problemDocuments } from '../json-errors.js'
import { DIFF_VERSION, diffImages, type ImagePair } from './diff-images.js'
import { findTarget, withSource, type OpenSource } from '../open-source.js'
import type { StoreArguments } from '../store-options.js'

export interface DiffArguments extends StoreArguments {
  /** SOURCE of the later state. */
  readonly other: string
  readonly content: boolean
  /** Of images: compare contents down to 4 KiB. */
  readonly fine: boolean
  readonly exitCode: boolean
  readonly json: boolean
}

/** `pbsfs diff`: what differs between two snapshots, folders, files or images. */
export async function diff(args: DiffArguments, context: CommandContext): Promise<number> {
  return withSource(args, context, (before) =>
    withSource({ ...args, source: args.other }, context, async (after) => {
      const [a, b] = [await findTarget(before, undefined), await findTarget(after, undefined)]
      if (isDirectory(a) !== isDirectory(b)) throw new UsageError('a folder and a file cannot be compared')
      const images = await findImages(before, a, after, b, args.fine)
      if (images === undefined && args.fine) throw new UsageError('--fine is for disk images')
      const differs = images === undefined ? await diffEntries(before, a, after, b, args, context) : await diffImages(images, after.note, () => problemDocuments(before, after), args, context)
      const damaged = Math.max(before.exitCode(), after.exitCode())
      return damaged !== EXIT.ok ? damaged : differs && args.exitCode ? EXIT.failed : EXIT.ok
    }),
  )
}

/** Both as disk images; undefined: at least one is none. Contents can be compared however a stream is cut. */
async function findImages(before: OpenSource, a: Found, after: OpenSource, b: Found, fine: boolean): Promise<ImagePair | undefined> {
  if (!isRegular(a) || !isRegular(b) || !isWholeFile(before) || !isWholeFile(after)) return undefined
  const pair = { before: (await before.view.content(a)).stream, after: (await after.view.content(b)).stream }
  const isImage = ({ chunks }: ReadAt): boolean => chunks !== undefined && (fine || chunks.chunkSize !== undefined)
  return isImage(pair.before) && isImage(pair.after) ? pair : undefined
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
  if (args.json) output.out(JSON.stringify({ version: DIFF_VERSION, changes: changes.map(changeDocument), problems: problemDocuments(before, after) }, null, 2) + '\n')
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
