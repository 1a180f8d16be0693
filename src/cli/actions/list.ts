import { listSnapshots, type SnapshotSummary, type StoreSummary } from '../../browse/list-snapshots.js'
import { escapeName } from '../../bytes/names.js'
import { UsageError } from '../../errors/errors.js'
import type { GroupRef } from '../../source/datastore.js'
import { formatSnapshotTime } from '../../source/snapshot-time.js'
import { openStoreThread } from '../../source/store-thread.js'
import { paintHead } from '../colors.js'
import type { CommandContext } from '../context.js'
import { EXIT } from '../exit-codes.js'
import { formatTime } from '../format-entry.js'
import { findStoreSource } from '../open-source.js'
import { formatSize } from '../parse-size.js'
import type { StoreArguments } from '../store-options.js'
import { formatTable } from '../table.js'
import { widthOf } from '../text-width.js'

export interface ListArguments extends StoreArguments {
  readonly json: boolean
  readonly utc: boolean
}

/** Of the documents of `list --json`. */
const LIST_VERSION = 1

/** `pbsfs list`: namespaces, groups and snapshots, from manifests alone. */
export async function list(args: ListArguments, context: CommandContext): Promise<number> {
  const source = await findStoreSource(args, context)
  if (source.kind !== 'store') throw new UsageError('list shows the snapshots of a datastore; for an archive use: pbsfs ls SOURCE')
  const { output } = context
  const store = await openStoreThread({ kind: 'local', path: source.path })
  try {
    const info = await store.describe()
    const found = await listSnapshots(store, source.selector)
    if (args.json) output.out(JSON.stringify(toDocument(found, info.path), null, 2) + '\n')
    else output.out(found.groups.length === 0 ? 'no backups here\n' : paintHead(formatList(found, args.utc, output.columns), output.colors))
    for (const remark of info.remarks) output.err(`pbsfs: ${remark}\n`)
    for (const { path, reason } of found.skipped) output.err(`pbsfs: ${path}: ${reason}\n`)
    for (const { snapshot, problem } of found.snapshots) if (problem !== undefined) output.err(`pbsfs: ${nameOf(snapshot.group, snapshot.time)}: ${problem}\n`)
    return found.snapshots.some(({ problem }) => problem !== undefined) ? EXIT.damaged : EXIT.ok
  } finally {
    await store.close()
  }
}

function nameOf({ ns, type, id }: GroupRef, time?: string): string {
  return [...ns.flatMap((name) => ['ns', name]), type, id, ...(time === undefined ? [] : [time])].map(escapeName).join('/')
}

/** Columns of a terminal that names of archives get at least. */
const LEAST_ARCHIVES = 24

const ARCHIVES = 3

function formatList(summary: StoreSummary, utc: boolean, columns: number | undefined): string {
  const rows = listRows(summary, utc)
  const table = formatTable(rows).replaceAll(/ +$/gm, '')
  if (columns === undefined) return table
  const tooWide = Math.max(...table.split('\n').map(widthOf)) - columns
  if (tooWide <= 0) return table
  // Lines that a terminal breaks are no table any more: of many archives the first ones are named.
  const room = Math.max(LEAST_ARCHIVES, Math.max(...rows.map((row) => widthOf(row[ARCHIVES]!))) - tooWide)
  const cut = rows.map((row) => row.map((cell, i) => (i === ARCHIVES ? firstWords(cell, room) : cell)))
  return formatTable(cut).replaceAll(/ +$/gm, '')
}

/** As many words as have room, and how many more there are. */
function firstWords(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text
  const words = text.split(' ')
  for (let count = words.length - 1; count > 1; count--) {
    const shown = `${words.slice(0, count).join(' ')} +${words.length - count}`
    if (widthOf(shown) <= columns) return shown
  }
  return words.length === 1 ? text : `${words[0]!} +${words.length - 1}`
}

function listRows({ groups, snapshots }: StoreSummary, utc: boolean): string[][] {
  const rows = [['SNAPSHOT', utc ? 'TIME (UTC)' : 'TIME', 'SIZE', 'ARCHIVES', 'STATE', 'NOTES']]
  let at = 0
  for (const group of groups) {
    if (snapshots[at]?.snapshot.group !== group) rows.push([nameOf(group), '', '', '', 'no finished snapshot', ''])
    for (; snapshots[at]?.snapshot.group === group; at++) rows.push(snapshotRow(snapshots[at]!, utc))
  }
  return rows
}

function snapshotRow(summary: SnapshotSummary, utc: boolean): string[] {
  const { snapshot, epoch, size, notes } = summary
  const first = notes?.split('\n').find((line) => line.trim() !== '') ?? ''
  return [nameOf(snapshot.group, snapshot.time), formatTime(epoch, utc), formatSize(size), shownArchives(summary).join(' '), stateOf(summary), escapeName(first)]
}

/** Names as the mount shows them; halves of one archive once, the server's own files left out. */
function shownArchives({ files }: SnapshotSummary): string[] {
  const names = files
    .map(({ filename }) => filename.replace(/\.(?:fidx|didx|blob)$/, '').replace(/\.[mp]pxar$/, '.pxar'))
    .filter((name) => name !== 'catalog.pcat1' && name !== 'index.json')
  return [...new Set(names)].map(escapeName)
}

function stateOf({ files, verify, protected: isProtected, problem }: SnapshotSummary): string {
  if (problem !== undefined) return 'unreadable'
  const modes = new Set(files.map(({ cryptMode }) => cryptMode))
  const words = [
    ...(modes.has('encrypt') ? ['encrypted'] : []),
    ...(modes.has('sign-only') ? ['signed'] : []),
    ...(verify === undefined ? [] : [verify.state === 'ok' ? 'verified' : 'VERIFY FAILED']),
    ...(isProtected ? ['protected'] : []),
  ]
  return words.length === 0 ? '-' : words.join(', ')
}

function toDocument({ namespaces, groups, snapshots, skipped }: StoreSummary, store: string): object {
  return {
    version: LIST_VERSION,
    store: escapeName(store),
    namespaces: namespaces.map((ns) => ns.join('/')),
    groups: groups.map(({ ns, type, id }) => ({ ns: ns.join('/'), type, id })),
    snapshots: snapshots.map((summary) => ({
      name: nameOf(summary.snapshot.group, summary.snapshot.time),
      ns: summary.snapshot.group.ns.join('/'),
      type: summary.snapshot.group.type,
      id: summary.snapshot.group.id,
      time: formatSnapshotTime(summary.epoch) ?? summary.snapshot.time,
      epoch: summary.epoch,
      owner: summary.owner ?? null,
      size: summary.size,
      files: summary.files.map(({ filename, size, cryptMode }) => ({ name: filename, size, cryptMode })),
      encrypted: summary.files.some(({ cryptMode }) => cryptMode === 'encrypt'),
      verify: summary.verify === undefined ? null : { state: summary.verify.state, upid: summary.verify.upid, time: summary.verify.time ?? null },
      protected: summary.protected,
      notes: summary.notes ?? null,
      problem: summary.problem ?? null,
    })),
    skipped: skipped.map(({ path, reason }) => ({ path, reason })),
  }
}
