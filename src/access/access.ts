import { randomBytes } from 'node:crypto'
import { whyNotComparable, type ImageVersion } from '../browse/diff-images.js'
import { escapeName } from '../bytes/names.js'
import type { RangeList } from '../bytes/range-list.js'
import { BusyError, IntegrityError, isPbsfsError, KeyError, NodeError, SourceError, UsageError } from '../errors/errors.js'
import { isDamage } from '../errors/is-damage.js'
import { groupName, isBitmapName, isTargetId, type AccessState, type ActiveAccess, type ActiveDisk, type Base, type BitmapAction, type DiskState, type GroupPlace } from './access-state.js'
import { dirtyRanges } from './dirty-ranges.js'
import { exportName, type Disk, type SnapshotDisks } from './snapshot-disks.js'
import type { StateFiles } from './state-files.js'

/** Runs that failed one after the other, before everything is read again. */
const MAX_TRIED = 16

/** A disk that an external tool may read, and what of it is new to the tool; as QEMU's BackupAccessInfo. */
export interface DiskAccess {
  readonly exportName: string
  readonly archive: string
  readonly size: number
  /** undefined: none was asked for. */
  readonly bitmap: string | undefined
  readonly action: BitmapAction
  /** Bytes to read: all of them where the action is not `used`. */
  readonly dirty: number
  /** Why the bitmap that was there could not be used. */
  readonly reason: string | undefined
}

export interface Access {
  readonly id: string
  readonly place: GroupPlace
  /** Folder name. */
  readonly snapshot: string
  readonly disks: readonly DiskAccess[]
}

/** What of a disk has to be read. */
export interface DiskRanges {
  readonly disk: Disk
  readonly ranges: RangeList
  readonly bitmap: string | undefined
  readonly action: BitmapAction
  readonly reason: string | undefined
}

/**
 * Begins an access of `target` to a snapshot. With a bitmap, each disk is told with what changed since the last
 * run with that bitmap that ended well; a bitmap of another name is dropped, and without one all are.
 * BusyError while an access of this target to the group is set up.
 */
export async function setupAccess(
  files: StateFiles,
  disks: SnapshotDisks,
  request: { readonly target: string; readonly place: GroupPlace; readonly snapshot: string; readonly bitmap: string | undefined },
): Promise<Access> {
  const { target, place, bitmap } = request
  requireName('TARGET-ID', target, isTargetId)
  if (bitmap !== undefined) requireName('the name of a bitmap', bitmap, isBitmapName)
  return files.update(target, place, async (state) => {
    if (state.active !== undefined) throw stillActive(target, state.active)
    const snapshot = await disks.resolveTime(request.snapshot)
    const found = await disks.list(snapshot)
    if (found.length === 0) throw new UsageError(`${groupName(place)}/${snapshot} has no disk images`)
    const bases = new Map(state.bases)
    const active: ActiveDisk[] = []
    const told: DiskAccess[] = []
    for (const disk of found) {
      const { archive, csum, version } = disk
      const { action, ranges, reason } = await look(disks, disk, bases.get(archive), bitmap)
      if (action !== 'used') bases.delete(archive)
      active.push({ archive, snapshot, csum, size: version.size, action, bitmap })
      told.push({ exportName: exportName(archive), archive, size: version.size, bitmap, action, dirty: ranges.bytes, reason })
    }
    const id = randomBytes(8).toString('hex')
    const since = Math.floor(Date.now() / 1000)
    return [{ ...state, bases, active: { id, snapshot, since, disks: active } }, { id, place, snapshot, disks: told }]
  })
}

function requireName(what: string, name: string, isValid: (name: string) => boolean): void {
  if (!isValid(name)) throw new UsageError(`"${escapeName(name)}" cannot be ${what}: letters, digits and ._:@+- , at most 128`)
}

/**
 * Ends the access. Only after `success` the target holds the snapshot that was read; otherwise it holds what it held
 * before. `id`: refuse to end any other access than this. UsageError when none is set up.
 */
export function teardownAccess(
  files: StateFiles,
  request: { readonly target: string; readonly place: GroupPlace; readonly success: boolean; readonly id?: string | undefined },
): Promise<ActiveAccess> {
  const { target, place, success, id } = request
  return files.update(target, place, async (state) => {
    const { active } = state
    if (active === undefined) throw new UsageError(`no access of ${target} to ${groupName(place)} is set up`)
    if (id !== undefined && id !== active.id) {
      throw new BusyError(`the access ${id} of ${target} has ended; ${active.id} to ${active.snapshot} is another one`, { given: id, actual: active.id })
    }
    const bases = success ? new Map(active.disks.flatMap(toBase)) : noteFailure(state.bases, active.disks)
    return [{ ...state, bases, active: undefined }, active]
  })
}

/**
 * The state of the one access of a target that is set up; `group`, as `vm/100` or with `STORE::` in front, chooses among
 * several. UsageError when it is none, or not clear which.
 */
export function findActive(states: readonly AccessState[], target: string, group?: string): AccessState {
  const nameOf = ({ place }: AccessState): string => `${place.store}::${groupName(place)}`
  const active = states.filter((state) => state.target === target && state.active !== undefined)
  const chosen = active.filter((state) => group === undefined || group === groupName(state.place) || group === nameOf(state))
  if (chosen.length === 1) return chosen[0]!
  if (chosen.length === 0) throw new UsageError(`no access of ${target}${group === undefined ? '' : ` to ${group}`} is set up`)
  throw new UsageError(`${target} has set up several accesses; choose one with --group: ${chosen.map(nameOf).join(', ')}`)
}

function toBase({ archive, snapshot, csum, size, bitmap }: ActiveDisk): [string, Base][] {
  return bitmap === undefined ? [] : [[archive, { snapshot, csum, size, bitmap, tried: [] }]]
}

/** A copy that was being brought to another state may hold parts of it. */
function noteFailure(bases: ReadonlyMap<string, Base>, disks: readonly ActiveDisk[]): Map<string, Base> {
  const noted = new Map(bases)
  for (const { archive, snapshot, csum, size } of disks) {
    const base = bases.get(archive)
    if (base === undefined || [base, ...base.tried].some((state) => state.csum === csum && state.size === size)) continue
    noted.set(archive, { ...base, tried: [...base.tried, { snapshot, csum, size }] })
  }
  return noted
}

/**
 * What the target has to read of a disk, named as an export or as in the snapshot, in the access that is set up. Where
 * the base was removed since then, that is everything, and the action `invalid`.
 */
export async function accessRanges(disks: SnapshotDisks, state: AccessState, name: string): Promise<DiskRanges> {
  const { active, target, bases } = state
  if (active === undefined) throw new UsageError(`no access of ${target} to ${groupName(state.place)} is set up`)
  const disk = active.disks.find(({ archive }) => archive === name || exportName(archive) === name)
  if (disk === undefined) {
    const known = active.disks.map(({ archive }) => exportName(archive)).join(', ')
    throw new UsageError(`the access of ${target} has no disk "${name}"; there are: ${known}`)
  }
  const now = await disks.find(active.snapshot, disk.archive)
  if (typeof now === 'string') throw new SourceError(now, { path: active.snapshot, operation: 'open', code: 'ENOENT' })
  if (now.csum !== disk.csum) throw replaced(active.snapshot, disk, now)
  const { bitmap } = disk
  if (disk.action !== 'used') return { disk: now, bitmap, action: disk.action, ranges: await dirtyRanges(undefined, now.version), reason: undefined }
  return { disk: now, bitmap, ...(await look(disks, now, bases.get(disk.archive), bitmap)) }
}

function replaced(snapshot: string, expected: DiskState, { archive, csum }: Disk): IntegrityError {
  const message = `${snapshot}/${archive} is not what it was when the access was set up`
  return new IntegrityError(message, { stream: archive, expected: expected.csum, actual: csum })
}

function stillActive(target: string, { id, snapshot, since }: ActiveAccess): BusyError {
  const when = new Date(since * 1000).toISOString()
  const remedy = `Is nobody at it any more? End it with: pbsfs access teardown ${target} --failure --id ${id}`
  return new BusyError(`an access of ${target} to ${snapshot} is set up since ${when}`, { holder: id, remedy })
}

interface Verdict {
  readonly action: BitmapAction
  readonly ranges: RangeList
  readonly reason: string | undefined
}

/** What becomes of the bitmap of a disk, and what has to be read. */
async function look(disks: SnapshotDisks, disk: Disk, base: Base | undefined, bitmap: string | undefined): Promise<Verdict> {
  const all = async (action: BitmapAction, reason?: string): Promise<Verdict> => ({ action, ranges: await dirtyRanges(undefined, disk.version), reason })
  if (bitmap === undefined) return all(base === undefined ? 'not-used' : 'not-used-removed')
  if (base === undefined) return all('new')
  if (base.bitmap !== bitmap) return all('new', `bitmap ${base.bitmap} was dropped`)
  if (base.tried.length > MAX_TRIED) return all('invalid', `${base.tried.length} runs since ${base.snapshot} have failed`)
  const versions: ImageVersion[] = []
  for (const state of [base, ...base.tried]) {
    const version = await openState(disks, disk, state)
    if (typeof version === 'string') return all('invalid', state === base ? version : `of a run that failed: ${version}`)
    versions.push(version)
  }
  const [held, ...tried] = versions
  return { action: 'used', ranges: await dirtyRanges(held, disk.version, tried), reason: undefined }
}

/** What the target holds, or why that cannot be told any more. What trying again may heal rejects. */
async function openState(disks: SnapshotDisks, disk: Disk, { snapshot, csum, size }: DiskState): Promise<ImageVersion | string> {
  try {
    const found = await disks.find(snapshot, disk.archive)
    if (typeof found === 'string') return found
    if (found.csum !== csum || found.version.size !== size) return `snapshot ${snapshot} was replaced by another one`
    return whyNotComparable(found.version, disk.version) ?? found.version
  } catch (error) {
    if (isGone(error) || isDamage(error) || error instanceof KeyError) return (error as Error).message
    throw error
  }
}

function isGone(error: unknown): boolean {
  if (error instanceof NodeError) return error.errno === 'ENOENT' || error.errno === 'ESTALE'
  return isPbsfsError(error) && error.tag === 'source' && error.fields['code'] === 'ENOENT'
}
