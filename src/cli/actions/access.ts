import { accessRanges, setupAccess, teardownAccess, type Access, type DiskAccess } from '../../access/access.js'
import { groupName, type AccessState, type GroupPlace } from '../../access/access-state.js'
import { exportName, GroupDisks } from '../../access/snapshot-disks.js'
import type { StateFiles } from '../../access/state-files.js'
import { escapeName, escapeText } from '../../bytes/names.js'
import { UsageError } from '../../errors/errors.js'
import type { ResolvedSource, StoreSource } from '../../source/resolve-source.js'
import { formatSelector } from '../../source/source-string.js'
import { chooseAccess, groupSource, openStateFiles } from '../choose-access.js'
import { paintHead } from '../colors.js'
import type { CommandContext } from '../context.js'
import { describeError } from '../describe-error.js'
import { EXIT } from '../exit-codes.js'
import { formatTime } from '../format-entry.js'
import { findStoreSource, withSource } from '../open-source.js'
import { formatSize } from '../parse-size.js'
import type { StoreArguments } from '../store-options.js'
import { formatTable } from '../table.js'

export type AccessAction = 'setup' | 'ranges' | 'teardown' | 'list'

export interface AccessArguments extends StoreArguments {
  readonly operands: readonly string[]
  readonly bitmap: string | undefined
  readonly success: boolean
  readonly failure: boolean
  readonly id: string | undefined
  readonly group: string | undefined
  readonly stateDir: string | undefined
  readonly json: boolean
}

/** Of the documents of `access --json`. */
const ACCESS_VERSION = 1

/** `pbsfs access`: what another backup program asks before and tells after it copies disks. */
export async function access(action: AccessAction, args: AccessArguments, context: CommandContext): Promise<number> {
  const files = openStateFiles(args, context)
  requireOperands(action, args.operands)
  switch (action) {
    case 'setup':
      return setup(files, args, context)
    case 'ranges':
      return ranges(files, args, context)
    case 'teardown':
      return teardown(files, args, context)
    case 'list':
      return list(files, args, context)
  }
}

const OPERANDS: Readonly<Record<AccessAction, readonly [least: number, most: number, form: string]>> = {
  setup: [2, 2, 'TARGET-ID SNAPSHOT'],
  ranges: [2, 2, 'TARGET-ID DISK'],
  teardown: [1, 1, 'TARGET-ID'],
  list: [0, 1, '[TARGET-ID]'],
}

function requireOperands(action: AccessAction, operands: readonly string[]): void {
  const [least, most, form] = OPERANDS[action]
  if (operands.length < least || operands.length > most) throw new UsageError(`access ${action} takes: ${form}`)
}

async function setup(files: StateFiles, args: AccessArguments, context: CommandContext): Promise<number> {
  const target = args.operands[0]!
  const { bitmap } = args
  const found = snapshotOf(await findStoreSource(args, context))
  const done = await withSource(
    args,
    context,
    async ({ view }) => setupAccess(files, new GroupDisks(view), { target, place: placeOf(found), snapshot: found.selector.time!, bitmap }),
    groupOf,
  )
  context.output.out(args.json ? toJson({ target, ...accessDocument(done) }) : formatAccess(done))
  return EXIT.ok
}

async function ranges(files: StateFiles, args: AccessArguments, context: CommandContext): Promise<number> {
  const [target, name] = args.operands as [string, string]
  const state = chooseAccess(files, target, args.group, context)
  const { place, active } = state
  const source = groupSource(place)
  return withSource({ ...args, source, repository: undefined, ns: undefined }, context, async ({ view }) => {
    const { disk, ranges: found, bitmap, action, reason } = await accessRanges(new GroupDisks(view), state, name)
    const { output } = context
    if (reason !== undefined) output.err(`pbsfs: ${exportName(disk.archive)}: everything has to be read: ${reason}\n`)
    if (args.json) {
      const { archive, version } = disk
      const shown = { target, id: active!.id, snapshot: active!.snapshot, name: exportName(archive), archive, size: version.size, bitmap: bitmap ?? null, action, reason: reason ?? null }
      output.out(JSON.stringify({ version: ACCESS_VERSION, ...shown, dirty: found.bytes, ranges: [...found] }) + '\n')
    } else {
      output.out([...found].map(({ offset, length }) => `${offset} ${length}\n`).join(''))
    }
    return EXIT.ok
  })
}

async function teardown(files: StateFiles, args: AccessArguments, context: CommandContext): Promise<number> {
  const target = args.operands[0]!
  if (args.success === args.failure) throw new UsageError('say how the run ended: --success or --failure')
  const { place } = chooseAccess(files, target, args.group, context)
  const { id, snapshot } = await teardownAccess(files, { target, place, success: args.success, id: args.id })
  if (args.json) context.output.out(toJson({ target, id, group: groupName(place), snapshot, success: args.success }))
  return EXIT.ok
}

async function list(files: StateFiles, args: AccessArguments, { output }: CommandContext): Promise<number> {
  const [target] = args.operands
  const { states, problems } = files.list()
  const shown = states.filter((state) => target === undefined || state.target === target)
  if (args.json) output.out(toJson({ targets: shown.map(stateDocument) }))
  else output.out(shown.length === 0 ? 'no accesses here\n' : paintHead(formatTable([['TARGET', 'DISK', 'BITMAP', 'HOLDS', 'SET UP'], ...shown.flatMap(stateRows)]), output.colors))
  for (const problem of problems) output.err(`pbsfs: ${describeError(problem)}\n`)
  return problems.length > 0 ? EXIT.damaged : EXIT.ok
}

function snapshotOf(source: ResolvedSource): StoreSource {
  if (source.kind === 'store' && source.selector.time !== undefined && source.selector.archive === undefined) return source
  throw new UsageError('give a whole snapshot of a datastore, as STORE::vm/100/latest')
}

/** The base of a disk is in another snapshot: the whole group is opened. */
function groupOf(source: ResolvedSource): ResolvedSource {
  if (source.kind !== 'store') return source
  const { ns, type, id } = source.selector
  return { ...source, selector: { ns, ...(type === undefined ? {} : { type }), ...(id === undefined ? {} : { id }) } }
}

function placeOf({ path, selector }: StoreSource): GroupPlace {
  return { store: escapeName(path), ns: selector.ns, type: selector.type!, id: selector.id! }
}

function formatAccess({ id, place, snapshot, disks }: Access): string {
  const rows = disks.map(({ exportName: name, size, bitmap, dirty, action, reason }) => [
    name, formatSize(size), bitmap ?? '-', formatSize(dirty), reason === undefined ? action : `${action} (${escapeText(reason)})`,
  ]) // prettier-ignore
  return `access ${id} to ${groupName(place)}/${snapshot}\n${formatTable([['DISK', 'SIZE', 'BITMAP', 'TO READ', 'ACTION'], ...rows])}`
}

function accessDocument({ id, place, snapshot, disks }: Access): object {
  return { id, group: groupName(place), snapshot, disks: disks.map(diskDocument) }
}

function diskDocument({ exportName: name, archive, size, bitmap, action, dirty, reason }: DiskAccess): object {
  return { name, archive, size, bitmap: bitmap ?? null, action, dirty, reason: reason ?? null }
}

function stateRows({ target, place, bases, active }: AccessState): string[][] {
  const names = [...new Set([...bases.keys(), ...(active?.disks.map(({ archive }) => archive) ?? [])])].sort()
  const since = active === undefined ? '-' : `${active.snapshot} since ${formatTime(active.since, false)}`
  return names.map((archive) => {
    const base = bases.get(archive)
    const disk = active?.disks.find((candidate) => candidate.archive === archive)
    return [target, `${groupName(place)}/${exportName(archive)}`, base?.bitmap ?? disk?.bitmap ?? '-', base?.snapshot ?? 'nothing', disk === undefined ? '-' : since]
  })
}

function stateDocument({ target, place, bases, active }: AccessState): object {
  return {
    target,
    store: place.store,
    group: formatSelector({ ns: place.ns, type: place.type, id: place.id }),
    bases: [...bases].map(([archive, { bitmap, snapshot, csum, size, tried }]) => ({
      name: exportName(archive), archive, bitmap, snapshot, csum, size, tried: tried.map((state) => state.snapshot),
    })), // prettier-ignore
    active: active === undefined ? null : { id: active.id, snapshot: active.snapshot, since: active.since, disks: active.disks.map(({ archive, action }) => ({ name: exportName(archive), action })) },
  }
}

function toJson(document: object): string {
  return JSON.stringify({ version: ACCESS_VERSION, ...document }, null, 2) + '\n'
}
