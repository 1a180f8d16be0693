import { FormatError } from '../../errors/errors.js'
import { parseConfigText, type ConfigSection, type ConfigValue } from './config-text.js'

const SECTOR = 512
/** More than LVM itself allows of anything. */
const MAX_SEGMENTS = 100_000
/** Each is looked at when a folder is entered. */
const MAX_VOLUMES = 4096

export interface VolumeGroup {
  /** latin1, as all names here. */
  readonly name: string
  /** Without dashes. */
  readonly id: string
  /** Rises with every change. */
  readonly seqno: number
  /** Bytes. */
  readonly extentSize: number
  /** By the names the segments use. */
  readonly pvs: ReadonlyMap<string, GroupDevice>
  readonly volumes: readonly LogicalVolume[]
}

export interface GroupDevice {
  /** UUID of the physical volume, without dashes. */
  readonly id: string
  /** Byte on the physical volume where extent 0 begins. */
  readonly start: number
}

export interface LogicalVolume {
  readonly name: string
  readonly id: string
  /** Bytes; 0 when it cannot be told. */
  readonly size: number
  readonly segments: readonly Segment[]
  /** Why this is no plain run of extents: `a thin volume`; undefined: it is one. */
  readonly unsupported?: string
  /** For names: `thin`, `raid1`, ... ; `linear`. */
  readonly kind: string
}

/** Extents of a volume that follow each other on one physical volume; without one they are zeros. */
export interface Segment {
  readonly pv: string | undefined
  /** Extent on the physical volume. */
  readonly from: number
  /** Extents. */
  readonly count: number
}

/** Reads the metadata of a volume group (latin1 text). FormatError when it is not consistent. */
export function parseVolumeGroup(text: string, stream: string): VolumeGroup {
  const root = parseConfigText(text, stream)
  const found = [...root.sections].filter(([, section]) => section.values.has('extent_size'))
  const group = found[0]
  if (group === undefined || found.length > 1) throw broken(stream, 'volume group', '1', found.length)
  const [name, section] = group
  const extentSize = readInteger(section, 'extent_size', stream) * SECTOR
  if (extentSize < SECTOR || !Number.isSafeInteger(extentSize)) throw broken(stream, 'extent_size', 'at least 1 sector', extentSize / SECTOR)
  const pvs = new Map<string, GroupDevice>()
  for (const [pv, device] of section.sections.get('physical_volumes')?.sections ?? []) {
    pvs.set(pv, { id: readId(device, stream), start: readInteger(device, 'pe_start', stream) * SECTOR })
  }
  const lvs = section.sections.get('logical_volumes')?.sections ?? new Map<string, ConfigSection>()
  if (lvs.size > MAX_VOLUMES) throw broken(stream, 'number of logical volumes', `at most ${MAX_VOLUMES}`, lvs.size)
  const stores = snapshotStores(lvs)
  const volumes = [...lvs].flatMap(([lv, volume]) => {
    if (!statusOf(volume).includes('VISIBLE')) return []
    return [readVolume(lv, volume, { stream, extentSize, pvs, stores })]
  })
  return { name, id: readId(section, stream), seqno: readInteger(section, 'seqno', stream), extentSize, pvs, volumes }
}

interface Context {
  readonly stream: string
  readonly extentSize: number
  readonly pvs: ReadonlyMap<string, GroupDevice>
  /** Volumes that hold the changes of an old-style snapshot. */
  readonly stores: ReadonlySet<string>
}

function readVolume(name: string, section: ConfigSection, context: Context): LogicalVolume {
  const { stream, extentSize } = context
  const base = { name, id: readId(section, stream) }
  if (context.stores.has(name)) return { ...base, size: 0, segments: [], kind: 'snapshot', unsupported: 'a snapshot, which holds changes only' }
  if (statusOf(section).includes('MERGING')) {
    return { ...base, size: 0, segments: [], kind: 'merging', unsupported: 'being merged with a snapshot' }
  }
  const sections = [...section.sections].filter(([key]) => /^segment\d+$/.test(key)).map(([, value]) => value)
  if (sections.length > MAX_SEGMENTS) throw broken(stream, `segments of ${name}`, `at most ${MAX_SEGMENTS}`, sections.length)
  const parts = sections
    .map((part) => ({ part, start: readInteger(part, 'start_extent', stream), count: readInteger(part, 'extent_count', stream) }))
    .sort((a, b) => a.start - b.start)
  const segments: Segment[] = []
  let extents = 0
  let unsupported: { kind: string; why: string } | undefined
  for (const { part, start, count } of parts) {
    if (start !== extents || count === 0) throw broken(stream, `segment of ${name}`, `one that begins at extent ${extents}`, start)
    extents += count
    const segment = readSegment(part, count, context)
    if ('why' in segment) unsupported ??= segment
    else segments.push(segment)
  }
  const size = extents * extentSize
  if (extents === 0 || !Number.isSafeInteger(size)) throw broken(stream, `size of ${name}`, '1 to 2^53-1 bytes', size)
  if (unsupported !== undefined) return { ...base, size, segments: [], kind: unsupported.kind, unsupported: unsupported.why }
  return { ...base, size, segments, kind: 'linear' }
}

function readSegment(part: ConfigSection, count: number, { stream, pvs }: Context): Segment | { kind: string; why: string } {
  const given = textOf(part.values.get('type'))
  const type = given.split('+')[0]!
  if (type === 'zero') return { pv: undefined, from: 0, count }
  if (type !== 'striped' && type !== 'linear') return { kind: safeKind(type), why: describeType(type) }
  const stripes = part.values.get('stripes')
  const width = part.values.get('stripe_count')
  if (!Array.isArray(stripes) || stripes.length % 2 !== 0) throw broken(stream, 'stripes', 'pairs of volume and extent', String(stripes))
  if (stripes.length !== 2 || (width !== undefined && width !== 1)) return { kind: 'striped', why: 'striped over several physical volumes' }
  const [pv, from] = stripes as readonly (string | number)[]
  if (typeof pv !== 'string' || typeof from !== 'number' || !isCount(from)) throw broken(stream, 'stripes', 'a volume and an extent', String(stripes))
  // An area of another logical volume: one that pvmove is moving.
  if (!pvs.has(pv)) return { kind: 'layered', why: 'made of other logical volumes' }
  return { pv, from, count }
}

const TYPES: Readonly<Record<string, string>> = {
  thin: 'a thin volume',
  'thin-pool': 'a thin pool',
  mirror: 'a mirror',
  snapshot: 'a snapshot, which holds changes only',
  cache: 'a volume with a cache',
  'cache-pool': 'a cache pool',
  writecache: 'a volume with a write cache',
  vdo: 'a VDO volume',
  'vdo-pool': 'a VDO pool',
  error: 'a volume whose data is gone',
}

function describeType(type: string): string {
  if (type.startsWith('raid')) return `a RAID volume (${safeKind(type)})`
  return TYPES[type] ?? `a volume of the kind ${safeKind(type)}`
}

/** Types are words; whatever else stands there is cut down to one. */
function safeKind(type: string): string {
  return type.replaceAll(/[^A-Za-z0-9_-]/g, '').slice(0, 20) || 'unknown'
}

/** Names of the volumes that sections of type `snapshot` use to keep changes in. */
function snapshotStores(lvs: ReadonlyMap<string, ConfigSection>): Set<string> {
  const stores = new Set<string>()
  for (const volume of lvs.values()) {
    for (const part of volume.sections.values()) {
      if (part.values.get('type') !== 'snapshot') continue
      for (const key of ['cow_store', 'merging_store']) {
        const store = part.values.get(key)
        if (typeof store === 'string') stores.add(store)
      }
    }
  }
  return stores
}

function statusOf(section: ConfigSection): readonly (string | number)[] {
  const status = section.values.get('status')
  return Array.isArray(status) ? (status as readonly (string | number)[]) : status === undefined ? [] : [status as string | number]
}

function readId(section: ConfigSection, stream: string): string {
  const id = textOf(section.values.get('id')).replaceAll('-', '')
  if (!/^[A-Za-z0-9!#]{32}$/.test(id)) throw broken(stream, 'id', '32 letters and digits', id.slice(0, 40))
  return id
}

function readInteger(section: ConfigSection, key: string, stream: string): number {
  const value = section.values.get(key)
  if (typeof value !== 'number' || !isCount(value)) throw broken(stream, key, 'a whole number', String(value).slice(0, 40))
  return value
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

function textOf(value: ConfigValue | undefined): string {
  return typeof value === 'string' ? value : ''
}

function broken(stream: string, what: string, expected: string, actual: string | number): FormatError {
  return new FormatError(`${stream}: the text of the volume group has a wrong ${what}`, { stream, item: what, expected, actual })
}
