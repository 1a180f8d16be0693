import { isDirectory, isSymlink, type Found, type TreeView } from '../../browse/tree-view.js'
import { walk } from '../../browse/walk.js'
import { escapeName } from '../../bytes/names.js'
import type { CommandContext } from '../context.js'
import { entryDocument, entryRow, type EntryDocument } from '../format-entry.js'
import { problemDocuments } from '../json-errors.js'
import { findTarget, withSource, type OpenSource } from '../open-source.js'
import { stream } from '../output.js'
import type { StoreArguments } from '../store-options.js'
import { formatTable } from '../table.js'

export interface LsArguments extends StoreArguments {
  readonly path: string | undefined
  readonly long: boolean
  readonly recursive: boolean
  readonly utc: boolean
  readonly json: boolean
}

const LS_VERSION = 1

/** `pbsfs ls`: what is in a folder of a source. */
export async function ls(args: LsArguments, context: CommandContext): Promise<number> {
  return withSource(args, context, async (source) => {
    const target = await findTarget(source, args.path)
    if (args.json) await printJson(args, source, target, context)
    else if (args.recursive && isDirectory(target)) await printTree(args, source, target, context)
    else context.output.out(await formatEntries(source.view, await entriesOf(source, target), args))
    return source.exitCode()
  })
}

/** Sorted by name, as ls(1) does; a file is an entry of its own. */
async function entriesOf(source: OpenSource, target: Found, path: Buffer = Buffer.alloc(0)): Promise<Found[]> {
  if (!isDirectory(target)) return [target]
  const entries: Found[] = []
  try {
    for await (const found of source.view.list(target)) entries.push(found)
  } catch (error) {
    source.note(error, path)
  }
  return entries.sort((a, b) => Buffer.compare(a.name, b.name))
}

async function formatEntries(view: TreeView, entries: readonly Found[], { long, utc }: LsArguments): Promise<string> {
  if (!long) return entries.map(({ name }) => `${escapeName(name)}\n`).join('')
  const rows: string[][] = []
  for (const found of entries) rows.push(entryRow(found.name, found.attr, utc, isSymlink(found) ? await view.readlink(found) : undefined))
  return formatTable(rightAligned(rows))
}

/** Numbers of links, owners and sizes stand at the right of their columns. */
function rightAligned(rows: readonly string[][]): string[][] {
  const widths = [1, 2, 3, 4].map((column) => Math.max(0, ...rows.map((row) => row[column]!.length)))
  return rows.map((row) => row.map((cell, i) => (i >= 1 && i <= 4 ? cell.padStart(widths[i - 1]!) : cell)))
}

/** Each folder under its name, as `ls -R` does. */
async function printTree(args: LsArguments, source: OpenSource, target: Found, { output }: CommandContext): Promise<void> {
  const open: { readonly dir: Found; readonly path: Buffer }[] = [{ dir: target, path: Buffer.from('.') }]
  for (let first = true; open.length > 0; first = false) {
    const { dir, path } = open.pop()!
    const entries = await entriesOf(source, dir, path)
    stream(output, `${first ? '' : '\n'}${escapeName(path)}:\n${await formatEntries(source.view, entries, args)}`)
    for (const found of entries.filter(isDirectory).reverse()) open.push({ dir: found, path: Buffer.concat([path, Buffer.from('/'), found.name]) })
  }
}

async function printJson(args: LsArguments, source: OpenSource, target: Found, { output }: CommandContext): Promise<void> {
  const entries: EntryDocument[] = []
  const add = async (found: Found, path: Uint8Array): Promise<void> => {
    entries.push(entryDocument(path, found.attr, isSymlink(found) ? await source.view.readlink(found) : undefined))
  }
  if (args.recursive) {
    for await (const { found, path, depth } of walk(source.view, target, { onError: source.note })) {
      if (depth > 0 || !isDirectory(target)) await add(found, depth === 0 ? found.name : path)
    }
  } else {
    for (const found of await entriesOf(source, target)) await add(found, found.name)
  }
  output.out(JSON.stringify({ version: LS_VERSION, entries, problems: problemDocuments(source) }, null, 2) + '\n')
}
