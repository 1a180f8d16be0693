import { availableParallelism } from 'node:os'
import { ChunkVerifier } from '../../app/verify-chunks.js'
import { TreeView, type Found } from '../../browse/tree-view.js'
import { listSnapshots } from '../../browse/list-snapshots.js'
import { bytesOfKey, escapeName } from '../../bytes/names.js'
import { checkStore } from '../../check/check-store.js'
import { nameFiles } from '../../check/name-files.js'
import { isDamaged, isUnchecked, type CheckedFile, type CheckedSnapshot, type CheckReport } from '../../check/report.js'
import { isPbsfsError, SourceError, UsageError } from '../../errors/errors.js'
import { silentLog } from '../../errors/log.js'
import { decodeSecrets } from '../../keys/secrets.js'
import { deriveKeys } from '../../keys/usable-keys.js'
import { ChunkInventory } from '../../source/chunk-inventory.js'
import type { SnapshotRef } from '../../source/datastore.js'
import { SERVER_RUNTIME_DIR } from '../../source/lock-files.js'
import { markSnapshotFailed } from '../../source/mark-failed.js'
import type { StoreSource } from '../../source/resolve-source.js'
import { openStoreThread, type StoreThread } from '../../source/store-thread.js'
import { paint } from '../colors.js'
import type { CommandContext } from '../context.js'
import { EXIT, type ExitCode } from '../exit-codes.js'
import { findStoreSource, withSource } from '../open-source.js'
import { formatSize } from '../parse-size.js'
import { Progress } from '../progress.js'
import type { StoreArguments } from '../store-options.js'
import { readSecrets } from './mount.js'

export interface CheckArguments extends StoreArguments {
  readonly sources: readonly string[]
  readonly read: boolean
  readonly markFailed: boolean
  readonly json: boolean
}

const CHECK_VERSION = 1

/** Files named for one archive in the text; `--json` has all. */
const MAX_NAMED = 20

const LABELS = { indices: 'reading indices', chunks: 'looking at chunks', read: 'reading chunks', files: 'naming files' } as const

/** `pbsfs check`: is everything there that the snapshots need? Writes nothing. */
export async function check(args: CheckArguments, context: CommandContext): Promise<number> {
  const stores = await groupByStore(args, context)
  let code: ExitCode = EXIT.ok
  const documents: object[] = []
  for (const { source, snapshotsOf } of stores) {
    const store = await openStoreThread({ kind: 'local', path: source.path })
    try {
      const report = await checkOne(args, context, source, store, snapshotsOf)
      if (args.json) documents.push(toDocument(report, source))
      else context.output.out(formatReport(report).replaceAll(/(?<=: )DAMAGED/g, (word) => paint(word, 'red', context.output.colors)))
      code = worse(code, exitCodeOf(report))
      if (args.markFailed) await markDamaged(report, source, context)
    } finally {
      await store.close()
    }
  }
  if (args.json) context.output.out(JSON.stringify({ version: CHECK_VERSION, mode: args.read ? 'read' : 'fast', stores: documents }, null, 2) + '\n')
  return code
}

/** Tells the server which snapshots its next backups must not build on. */
async function markDamaged({ snapshots }: CheckReport, source: StoreSource, { output }: CommandContext): Promise<void> {
  const server = source.configured === undefined ? undefined : { store: source.configured.name, runtimeDir: SERVER_RUNTIME_DIR }
  for (const checked of snapshots.filter(isDamaged)) {
    const name = escapeName(nameOf(checked.snapshot))
    try {
      await markSnapshotFailed(source.path, checked.snapshot, server)
      output.err(`${name}: its verification is recorded as failed\n`)
    } catch (error) {
      if (!isPbsfsError(error)) throw error
      output.err(`pbsfs: ${name}: could not be marked: ${error.message}\n`)
    }
  }
}

interface StoreToCheck {
  readonly source: StoreSource
  /** All that was named in this store. */
  readonly snapshotsOf: StoreSource[]
}

async function groupByStore(args: CheckArguments, context: CommandContext): Promise<StoreToCheck[]> {
  const stores = new Map<string, StoreToCheck>()
  for (const text of args.sources) {
    const source = await findStoreSource({ ...args, source: text }, context)
    if (source.kind !== 'store') throw new UsageError(`${text}: check looks at datastores; an archive file is checked by reading it (pbsfs cat, or cp from a mount)`)
    const key = Buffer.from(source.path).toString('latin1')
    const known = stores.get(key)
    if (known === undefined) stores.set(key, { source, snapshotsOf: [source] })
    else known.snapshotsOf.push(source)
  }
  return [...stores.values()]
}

async function checkOne(args: CheckArguments, context: CommandContext, source: StoreSource, store: StoreThread, named: readonly StoreSource[]): Promise<CheckReport> {
  const { s3Cache, path, unreadable, remarks } = await store.describe()
  if (unreadable !== undefined) throw new SourceError(remarks.join('; '), { path, operation: 'check', code: unreadable })
  const snapshots = new Map<string, SnapshotRef>()
  for (const { selector } of named) {
    for (const { snapshot } of (await listSnapshots(store, selector)).snapshots) snapshots.set(nameOf(snapshot), snapshot)
  }
  const progress = new Progress()
  const verifier = args.read ? new ChunkVerifier(store, availableParallelism(), await deriveKeys(decodeSecrets(await readSecrets({ ...args, options: [] }, context))), silentLog) : undefined
  const alive = setInterval(() => undefined, 60_000)
  try {
    const inventory = new ChunkInventory(path)
    const report = await checkStore(
      {
        store,
        s3Cache,
        look: (digests) => inventory.look(digests),
        read: verifier === undefined ? undefined : (chunk) => verifier.verify(chunk),
        readsAtOnce: verifier?.atOnce ?? 1,
        onProgress: ({ phase, done, total, bytes }) => progress.update({ label: LABELS[phase], done, total, bytes: phase === 'read' ? bytes : 0 }),
      },
      [...snapshots.values()],
    )
    return await nameHits(args, context, source, report, progress)
  } finally {
    progress.end()
    clearInterval(alive)
    await verifier?.close()
  }
}

/** Which files the lost bytes are in, and which other snapshots have them whole. */
async function nameHits(args: CheckArguments, context: CommandContext, source: StoreSource, report: CheckReport, progress: Progress): Promise<CheckReport> {
  const hit = report.snapshots.filter(({ files }) => files.some(({ lost }) => lost.length > 0))
  if (hit.length === 0) return report
  const quiet = { ...context, output: { ...context.output, err: () => undefined } }
  return withSource({ ...args, force: true, damage: { fallbacks: [] } }, quiet, async ({ view }) => {
    const hits = new Map<string, Map<string, Found | undefined>>()
    const unnamed = new Map<string, string>()
    for (const [i, snapshot] of hit.entries()) {
      progress.update({ label: LABELS.files, done: i, total: hit.length, bytes: 0 })
      for (const archive of damagedArchives(snapshot)) {
        const key = `${nameOf(snapshot.snapshot)}/${archive}`
        try {
          const root = await view.resolve(Buffer.from(key))
          const lost = snapshot.files.filter(({ name }) => shownName(name) === archive).map(({ name, lost: ranges }) => ({ stream: name, ranges }))
          const named = await nameFiles(view, root, lost)
          hits.set(key, new Map(named.hits))
          if (named.unnamed !== undefined) unnamed.set(key, named.unnamed)
        } catch (error) {
          if (!isPbsfsError(error)) throw error
          unnamed.set(key, error.message)
        }
      }
    }
    const snapshots: CheckedSnapshot[] = []
    for (const snapshot of report.snapshots) snapshots.push(await withNames(view, snapshot, report, hits, unnamed))
    return { ...report, snapshots }
  }, () => ({ ...source, selector: { ns: [] } }))
}

function damagedArchives({ files }: CheckedSnapshot): Set<string> {
  return new Set(files.filter(({ name, lost }) => lost.length > 0 && /\.[mp]?pxar\.didx$/.test(name)).map(({ name }) => shownName(name)))
}

function shownName(file: string): string {
  return file.replace(/\.(?:fidx|didx|blob)$/, '').replace(/\.[mp]pxar$/, '.pxar')
}

async function withNames(view: TreeView, checked: CheckedSnapshot, report: CheckReport, hits: ReadonlyMap<string, ReadonlyMap<string, Found | undefined>>, unnamed: ReadonlyMap<string, string>): Promise<CheckedSnapshot> {
  const told = new Set<string>()
  const files: CheckedFile[] = []
  for (const file of checked.files) {
    const archive = shownName(file.name)
    const key = `${nameOf(checked.snapshot)}/${archive}`
    const found = hits.get(key)
    // Both halves of an archive are one for whoever looks for files.
    if (file.lost.length === 0 || told.has(archive) || (found === undefined && !unnamed.has(key))) {
      files.push(file)
      continue
    }
    told.add(archive)
    const named = []
    for (const [path, entry] of found ?? []) named.push({ path: bytesOfKey(path), wholeIn: entry === undefined ? [] : await snapshotsWith(view, checked, report, archive, path, entry, hits) })
    const why = unnamed.get(key)
    files.push({ ...file, files: named, ...(why === undefined ? {} : { unnamed: why }) })
  }
  return { ...checked, files }
}

/** Other checked snapshots of the group that have the same file, and nothing of it is lost there. */
async function snapshotsWith(view: TreeView, checked: CheckedSnapshot, report: CheckReport, archive: string, path: string, entry: Found, hits: ReadonlyMap<string, ReadonlyMap<string, Found | undefined>>): Promise<string[]> {
  const names: string[] = []
  for (const { snapshot } of report.snapshots.toReversed()) {
    if (snapshot.time === checked.snapshot.time || groupOf(snapshot) !== groupOf(checked.snapshot)) continue
    const key = `${nameOf(snapshot)}/${archive}`
    if (hits.get(key)?.has(path) === true) continue
    try {
      const { attr } = await view.resolve(Buffer.concat([Buffer.from(`${key}/`), bytesOfKey(path)]))
      const same = attr.size === entry.attr.size && attr.mtimeSec === entry.attr.mtimeSec && attr.mtimeNsec === entry.attr.mtimeNsec
      if (same) names.push(snapshot.time)
    } catch (error) {
      if (!isPbsfsError(error)) throw error
    }
  }
  return names
}

function groupOf({ group: { ns, type, id } }: SnapshotRef): string {
  return [...ns.flatMap((name) => ['ns', name]), type, id].join('/')
}

function nameOf(snapshot: SnapshotRef): string {
  return `${groupOf(snapshot)}/${snapshot.time}`
}

function exitCodeOf({ snapshots, remarks }: CheckReport): ExitCode {
  if (snapshots.some(isDamaged)) return EXIT.damaged
  return snapshots.some(isUnchecked) || remarks.length > 0 ? EXIT.unavailable : EXIT.ok
}

/** Damage counts more than what could not be checked. */
function worse(a: ExitCode, b: ExitCode): ExitCode {
  if (a === EXIT.damaged || b === EXIT.damaged) return EXIT.damaged
  return a === EXIT.ok ? b : a
}

function formatReport(report: CheckReport): string {
  const { snapshots, chunks, badChunks, remarks } = report
  const lines: string[] = []
  for (const snapshot of snapshots) lines.push(...describeSnapshot(snapshot))
  const damaged = snapshots.filter(isDamaged).length
  const unchecked = snapshots.filter((snapshot) => !isDamaged(snapshot) && isUnchecked(snapshot)).length
  const sum = [`${snapshots.length} snapshots, ${chunks.distinct} chunks, ${formatSize(chunks.bytes)}`]
  sum.push(damaged === 0 ? 'no damage found' : `${damaged} damaged, ${badChunks.length} bad chunks`)
  if (unchecked > 0) sum.push(`${unchecked} not wholly checked`)
  lines.push(...remarks, `${sum.join('; ')}`)
  return lines.map((line) => `${line}\n`).join('')
}

function describeSnapshot(checked: CheckedSnapshot): string[] {
  const damaged = isDamaged(checked)
  const unchecked = isUnchecked(checked)
  const name = escapeName(nameOf(checked.snapshot))
  const recorded = checked.recorded?.state
  if (!damaged && !unchecked) return recorded === 'failed' ? [`${name}: the server recorded a failed verification, this check found nothing`] : []
  const lines = [`${name}: ${damaged ? 'DAMAGED' : 'not wholly checked'}${recorded === 'ok' && damaged ? ' (the server recorded it as verified)' : ''}`]
  for (const problem of checked.problems) lines.push(`  ${problem}`)
  for (const file of checked.files) lines.push(...describeFile(file))
  return lines
}

function describeFile({ name, problems, unchecked, lost, files, unnamed }: CheckedFile): string[] {
  const lines = problems.map((problem) => `  ${escapeName(name)}: ${problem}`)
  for (const reason of unchecked) lines.push(`  ${escapeName(name)}: not checked: ${reason}`)
  if (lost.length > 0) {
    const bytes = lost.reduce((sum, { start, end }) => sum + end - start, 0)
    const [first] = lost
    lines.push(`  ${escapeName(name)}: ${formatSize(bytes)} lost in ${lost.length} chunks (${first!.digest.slice(0, 16)}...: ${first!.reason})`)
  }
  if (unnamed !== undefined) lines.push(`    ${unnamed}`)
  for (const { path, wholeIn } of (files ?? []).slice(0, MAX_NAMED)) {
    lines.push(`    ${escapeName(path)}${wholeIn.length === 0 ? '' : `  (whole in ${wholeIn.join(', ')})`}`)
  }
  if ((files?.length ?? 0) > MAX_NAMED) lines.push(`    and ${files!.length - MAX_NAMED} more; --json names all`)
  return lines
}

function toDocument(report: CheckReport, source: StoreSource): object {
  return {
    store: escapeName(Buffer.from(source.path)),
    snapshots: report.snapshots.map((checked) => ({
      name: escapeName(nameOf(checked.snapshot)),
      state: isDamaged(checked) ? 'damaged' : isUnchecked(checked) ? 'unchecked' : 'clean',
      recorded: checked.recorded?.state ?? null,
      problems: checked.problems,
      files: checked.files.map(({ name, problems, unchecked, lost, files, unnamed }) => ({
        name,
        problems,
        unchecked,
        lost,
        ...(files === undefined ? {} : { hit: files.map(({ path, wholeIn }) => ({ path: escapeName(path), wholeIn })) }),
        ...(unnamed === undefined ? {} : { unnamed }),
      })),
    })),
    badChunks: report.badChunks,
    chunks: report.chunks,
    remarks: report.remarks,
  }
}
