import { statSync } from 'node:fs'
import { compileQuery, parseSizeTest, parseTypes, type FindQuery } from '../../browse/find-query.js'
import { VersionFilter } from '../../browse/find-versions.js'
import { isDirectory, isSymlink, type Found } from '../../browse/tree-view.js'
import { walk, type Step } from '../../browse/walk.js'
import { escapeName } from '../../bytes/names.js'
import { isPbsfsError, UsageError } from '../../errors/errors.js'
import type { CommandContext } from '../context.js'
import { entryDocument } from '../format-entry.js'
import { findTarget, withSource, type OpenSource } from '../open-source.js'
import { stream } from '../output.js'
import { argToBytes } from '../raw-args.js'
import type { StoreArguments } from '../store-options.js'

export interface FindArguments extends StoreArguments {
  readonly path: string | undefined
  readonly names: readonly string[]
  readonly inames: readonly string[]
  readonly paths: readonly string[]
  readonly types: readonly string[]
  readonly sizes: readonly string[]
  readonly newer: string | undefined
  readonly all: boolean
  readonly print0: boolean
  readonly json: boolean
}

/** What stands for one match. */
type Print = (path: Uint8Array, found: Found, more: { readonly snapshot?: string; readonly goneSince?: string | undefined }) => Promise<void>

/** `pbsfs find`: looks for names in metadata alone. */
export async function find(args: FindArguments, context: CommandContext): Promise<number> {
  const query = readQuery(args)
  return withSource(args, context, async (source) => {
    const print = printer(args, source, context)
    if (args.all) await findInAll(source, query, print, context)
    else await findBelow(source, await findTarget(source, args.path), query, args, print)
    return source.exitCode()
  })
}

function readQuery(args: FindArguments): FindQuery {
  return {
    names: args.names.map(argToBytes),
    inames: args.inames.map(argToBytes),
    paths: args.paths.map(argToBytes),
    types: parseTypes(args.types),
    sizes: args.sizes.map(parseSizeTest),
    newerThan: args.newer === undefined ? undefined : parseNewer(args.newer),
  }
}

/** A file of this host, as find(1) has it, or a date. */
function parseNewer(text: string): { sec: number; nsec: number } {
  try {
    const { mtimeNs } = statSync(argToBytes(text), { bigint: true })
    return { sec: Number(mtimeNs / 1_000_000_000n), nsec: Number(mtimeNs % 1_000_000_000n) }
  } catch {
    const time = Date.parse(text)
    if (Number.isNaN(time)) throw new UsageError(`-newer: "${text}" is neither a file of this host nor a date like 2026-01-31`)
    return { sec: Math.floor(time / 1000), nsec: 0 }
  }
}

async function findBelow(source: OpenSource, target: Found, query: FindQuery, args: FindArguments, print: Print): Promise<void> {
  const matches = compileQuery(query)
  const base = args.path === undefined ? Buffer.from('.') : argToBytes(args.path)
  for await (const step of walk(source.view, target, { onError: source.note })) {
    const path = shownPath(base, target, step)
    if (matches(step, path)) await print(path, step.found, {})
  }
}

function shownPath(base: Buffer, target: Found, { path }: Step): Buffer {
  if (path.length > 0) return Buffer.concat([base, Buffer.from('/'), path])
  return isDirectory(target) || base.toString() !== '.' ? base : target.name
}

/** Every archive of every snapshot below the source, group by group, the newest snapshot first. */
async function findInAll(source: OpenSource, query: FindQuery, print: Print, context: CommandContext): Promise<void> {
  const matches = compileQuery(query)
  let groups = 0
  for await (const { path, snapshots } of groupsBelow(source)) {
    groups++
    const filters = new Map<string, VersionFilter>()
    let newer: string | undefined
    for (const snapshot of snapshots) {
      const name = escapeName(snapshot.name)
      const before = source.problems.count
      for (const filter of filters.values()) filter.begin(name)
      for (const archive of await archivesOf(source, snapshot, path)) {
        const key = archive.name.toString('latin1')
        const filter = filters.get(key) ?? startFilter(filters, key, newer, name)
        const place = Buffer.concat([path, snapshot.name, Buffer.from('/'), archive.name])
        for await (const step of walk(source.view, archive, { onError: (error, below) => source.note(error, below.length === 0 ? place : Buffer.concat([place, Buffer.from('/'), below])) })) {
          const shown = step.depth === 0 ? archive.name : Buffer.concat([archive.name, Buffer.from('/'), step.path])
          if (!matches(step, shown)) continue
          const version = filter.take(step)
          if (version !== undefined) await print(Buffer.concat([path, snapshot.name, Buffer.from('/'), shown]), step.found, { snapshot: name, goneSince: version.goneSince })
        }
      }
      if (source.problems.count === before) newer = name
      else for (const filter of filters.values()) filter.markPartial()
    }
  }
  if (groups === 0) context.output.err('pbsfs: no group of snapshots here; --all looks through a group, a namespace or a store\n')
}

function startFilter(filters: Map<string, VersionFilter>, key: string, newer: string | undefined, snapshot: string): VersionFilter {
  const filter = new VersionFilter(newer)
  filters.set(key, filter)
  filter.begin(snapshot)
  return filter
}

interface Group {
  /** In front of a snapshot's name, with a slash at its end; empty when the source is the group. */
  readonly path: Buffer
  /** The newest first. */
  readonly snapshots: readonly Found[]
}

const SNAPSHOT_NAME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/

/** The groups at or below the root of the source. */
async function* groupsBelow({ view, note }: OpenSource): AsyncGenerator<Group> {
  const open: { readonly dir: Found; readonly path: Buffer }[] = [{ dir: await view.root(), path: Buffer.alloc(0) }]
  while (open.length > 0) {
    const { dir, path } = open.pop()!
    const below: Found[] = []
    try {
      for await (const found of view.list(dir)) if (isDirectory(found)) below.push(found)
    } catch (error) {
      note(error, path)
    }
    const snapshots = below.filter(({ name }) => SNAPSHOT_NAME.test(name.toString('latin1')))
    if (snapshots.length > 0) {
      yield { path, snapshots: snapshots.sort((a, b) => Buffer.compare(b.name, a.name)) }
      continue
    }
    for (const found of below.reverse()) open.push({ dir: found, path: Buffer.concat([path, found.name, Buffer.from('/')]) })
  }
}

/** Archives of a snapshot; what is inside of images is not looked through. */
async function archivesOf({ view, note }: OpenSource, snapshot: Found, path: Buffer): Promise<Found[]> {
  const archives: Found[] = []
  try {
    for await (const found of view.list(snapshot)) {
      if (isDirectory(found) && found.name.toString('latin1').endsWith('.pxar')) archives.push(found)
    }
  } catch (error) {
    if (!isPbsfsError(error)) throw error
    note(error, Buffer.concat([path, snapshot.name]))
  }
  return archives
}

function printer(args: FindArguments, { view }: OpenSource, { output }: CommandContext): Print {
  if (args.json) {
    // One document a line: a search may be long.
    return async (path, found, more) => {
      const target = isSymlink(found) ? await view.readlink(found) : undefined
      stream(output, JSON.stringify({ ...entryDocument(path, found.attr, target), ...more }) + '\n')
    }
  }
  if (args.print0) return async (path) => stream(output, Buffer.concat([path, Buffer.alloc(1)]))
  return async (path, _found, { goneSince }) => stream(output, `${escapeName(path)}${goneSince === undefined ? '' : `   (gone since ${goneSince})`}\n`)
}
