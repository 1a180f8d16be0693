import { fileHistory, type FileVersion, type VersionState } from '../../browse/file-history.js'
import { isDirectory, type Found } from '../../browse/tree-view.js'
import { escapeName } from '../../bytes/names.js'
import { UsageError } from '../../errors/errors.js'
import type { ResolvedSource } from '../../source/resolve-source.js'
import { paintHead } from '../colors.js'
import type { CommandContext } from '../context.js'
import { entryDocument, formatMode, formatTime } from '../format-entry.js'
import { problemDocuments } from '../json-errors.js'
import { findStoreSource, withSource, type OpenSource } from '../open-source.js'
import { argToBytes } from '../raw-args.js'
import type { StoreArguments } from '../store-options.js'
import { formatTable } from '../table.js'

export interface LogArguments extends StoreArguments {
  readonly path: string | undefined
  readonly content: boolean
  readonly utc: boolean
  readonly json: boolean
}

const LOG_VERSION = 1

const WORDS: Readonly<Record<VersionState, string>> = {
  first: 'first',
  same: 'same',
  metadata: 'same content, other owner, mode or time',
  changed: 'changed',
  absent: 'not there',
  back: 'back',
  unreadable: 'UNREADABLE',
}

const SNAPSHOT_NAME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/

/** `pbsfs log`: every version of one file across the snapshots of its group. */
export async function log(args: LogArguments, context: CommandContext): Promise<number> {
  const path = pathInSnapshot(await findStoreSource(args, context), args.path)
  return withSource(args, context, async (source) => {
    const versions: FileVersion[] = []
    for await (const version of fileHistory(source.view, await snapshotsOf(source), path, args.content)) {
      versions.push(version)
      if (version.problem !== undefined) source.note(version.problem, Buffer.from(version.snapshot))
    }
    if (versions.every(({ found, problem }) => found === undefined && problem === undefined)) {
      throw new UsageError(`no snapshot of this group has ${escapeName(path)}; pbsfs find SOURCE --all -name NAME looks for it`)
    }
    context.output.out(args.json ? toDocument(path, versions, source) : paintHead(formatVersions(versions, args.utc), context.output.colors))
    return source.exitCode()
  }, groupOf)
}

/** The path from a snapshot's folder down: the archive, and what is inside it. */
function pathInSnapshot(source: ResolvedSource, path: string | undefined): Buffer {
  if (source.kind !== 'store' || source.selector.id === undefined) {
    throw new UsageError('log needs a file of a group: STORE::host/web/latest/root.pxar:etc/passwd, or STORE::host/web root.pxar/etc/passwd')
  }
  const { archive, inside } = source.selector
  const parts = [...(archive === undefined ? [] : [Buffer.from(archive)]), ...(inside === undefined ? [] : [inside]), ...(path === undefined ? [] : [argToBytes(path)])]
  if (parts.length === 0) throw new UsageError('log needs a file: STORE::host/web/latest/root.pxar:etc/passwd')
  return Buffer.concat(parts.flatMap((part, i) => (i === 0 ? [part] : [Buffer.from('/'), part])))
}

function groupOf(source: ResolvedSource): ResolvedSource {
  if (source.kind !== 'store') return source
  const { ns, type, id } = source.selector
  return { ...source, selector: { ns, ...(type === undefined ? {} : { type }), ...(id === undefined ? {} : { id }) } }
}

/** The oldest first. */
async function snapshotsOf({ view }: OpenSource): Promise<Found[]> {
  const snapshots: Found[] = []
  for await (const found of view.list(await view.root())) {
    if (isDirectory(found) && SNAPSHOT_NAME.test(found.name.toString('latin1'))) snapshots.push(found)
  }
  return snapshots.sort((a, b) => Buffer.compare(a.name, b.name))
}

function formatVersions(versions: readonly FileVersion[], utc: boolean): string {
  const rows = versions.map(({ snapshot, state, found, assumed }) => {
    const word = assumed ? `${WORDS[state]} (by size and time)` : WORDS[state]
    if (found === undefined) return [snapshot, '-', '-', '-', word]
    return [snapshot, formatMode(found.attr.mode), String(found.attr.size), formatTime(found.attr.mtimeSec, utc), word]
  })
  return formatTable([['SNAPSHOT', 'MODE', 'SIZE', utc ? 'MODIFIED (UTC)' : 'MODIFIED', 'STATE'], ...rows])
}

function toDocument(path: Uint8Array, versions: readonly FileVersion[], source: OpenSource): string {
  const entries = versions.map(({ snapshot, state, found, assumed }) => ({
    snapshot,
    state,
    assumed,
    entry: found === undefined ? null : entryDocument(path, found.attr),
  }))
  return JSON.stringify({ version: LOG_VERSION, path: escapeName(path), versions: entries, problems: problemDocuments(source) }, null, 2) + '\n'
}
