import { viewOf } from '../bytes/le.js'
import type { PbsfsError } from '../errors/errors.js'
import { checkPartitions, MAX_PARTITIONS, SECTOR_SIZES, type Partition, type PartitionTable, type SectorSize } from './partitions.js'
import { diskError, isDamage, readSpan, type Span } from './span.js'

/*
 * MBR: four entries of 16 bytes at 446, 0x55 0xaa at 510. Entry: 0 flag (0x80 bootable), 4 type,
 * 8 first sector, 12 number of sectors. A logical partition is the first entry of a sector like
 * this one (EBR), counted from that sector; the second entry leads to the next EBR, counted from
 * the start of the extended partition.
 */
const TABLE_AT = 446
const ENTRY_SIZE = 16
const AT = { flag: 0, type: 4, first: 8, count: 12 } as const
const SIGNATURE_AT = 510
const DISK_ID_AT = 440
const FIRST_LOGICAL = 5
const EXTENDED = new Set([0x05, 0x0f, 0x85])
const PROTECTIVE = 0xee

export interface MbrEntry {
  /** 1 to 4. */
  readonly number: number
  readonly type: number
  /** Sectors. */
  readonly first: number
  readonly count: number
}

/** Sector 0 as an MBR: its used entries; undefined when it is none. */
export function parseMbr(sector: Uint8Array): MbrEntry[] | undefined {
  if (sector.length < 512 || sector[SIGNATURE_AT] !== 0x55 || sector[SIGNATURE_AT + 1] !== 0xaa) return undefined
  const view = viewOf(sector)
  const entries: MbrEntry[] = []
  for (let i = 0; i < 4; i++) {
    const at = TABLE_AT + i * ENTRY_SIZE
    // A boot sector of a file system has code or text here.
    if ((sector[at + AT.flag]! & 0x7f) !== 0) return undefined
    const type = sector[at + AT.type]!
    const count = view.getUint32(at + AT.count, true)
    if (type !== 0 && count !== 0) entries.push({ number: i + 1, type, first: view.getUint32(at + AT.first, true), count })
  }
  return entries
}

/** Does the table say that a GPT is there? */
export function isProtective(entries: readonly MbrEntry[]): boolean {
  return entries.some(({ type }) => type === PROTECTIVE)
}

/** Where a protective MBR says that the disk ends, in bytes, for each size of sectors. */
export function protectedEnds(entries: readonly MbrEntry[]): number[] {
  return entries.filter(({ type }) => type === PROTECTIVE).flatMap(({ first, count }) => SECTOR_SIZES.map((size) => (first + count) * size))
}

/** The partitions of an MBR in sectors of the given size, the chain of logical ones followed. */
export async function readMbr(span: Span, sector: Uint8Array, sectorSize: SectorSize): Promise<PartitionTable> {
  const entries = parseMbr(sector) ?? []
  const diskId = viewOf(sector).getUint32(DISK_ID_AT, true).toString(16).padStart(8, '0')
  const found: Partition[] = []
  const problems: PbsfsError[] = []
  for (const entry of entries) {
    if (entry.type === PROTECTIVE) {
      problems.push(diskError(span, 0, 'the MBR announces a GPT, but there is none', 'a GPT', 'no header at either end of the disk'))
    } else if (EXTENDED.has(entry.type)) {
      const logical = await followChain(span, entry, sectorSize)
      found.push(...logical.found.map((partition, i) => ({ ...partition, ...named(diskId, FIRST_LOGICAL + i) })))
      problems.push(...logical.problems)
    } else {
      found.push({ ...placed(entry.type, entry.first, entry.count, sectorSize), ...named(diskId, entry.number) })
    }
  }
  const checked = checkPartitions(span, found)
  return { kind: 'mbr', sectorSize, partitions: checked.partitions, problems: [...problems, ...checked.problems] }
}

/** `aabbccdd-05`, as blkid names partitions of an MBR. */
function named(diskId: string, number: number): { number: number; uuid: string } {
  return { number, uuid: `${diskId}-${number.toString(16).padStart(2, '0')}` }
}

function placed(type: number, first: number, count: number, sectorSize: SectorSize): Pick<Partition, 'start' | 'size' | 'type'> {
  return { start: first * sectorSize, size: count * sectorSize, type: `0x${type.toString(16).padStart(2, '0')}` }
}

async function followChain(
  span: Span,
  extended: MbrEntry,
  sectorSize: SectorSize,
): Promise<{ found: Pick<Partition, 'start' | 'size' | 'type'>[]; problems: PbsfsError[] }> {
  const found: Pick<Partition, 'start' | 'size' | 'type'>[] = []
  const problems: PbsfsError[] = []
  const seen = new Set<number>()
  try {
    for (let at: number | undefined = extended.first; at !== undefined; ) {
      const offset: number = at * sectorSize
      if (seen.has(at)) throw diskError(span, offset, 'the chain of logical partitions is a circle', 'an EBR not seen before', `sector ${at} again`)
      if (seen.size >= MAX_PARTITIONS) {
        throw diskError(span, offset, 'the chain of logical partitions is too long', `at most ${MAX_PARTITIONS}`, 'more')
      }
      seen.add(at)
      const step = await readEbr(span, at, extended.first, sectorSize)
      if (step.partition !== undefined) found.push(step.partition)
      at = step.next
    }
  } catch (error) {
    if (!isDamage(error)) throw error
    problems.push(error)
  }
  return { found, problems }
}

async function readEbr(
  span: Span,
  at: number,
  base: number,
  sectorSize: SectorSize,
): Promise<{ partition: Pick<Partition, 'start' | 'size' | 'type'> | undefined; next: number | undefined }> {
  const sector = await readSpan(span, at * sectorSize, 512)
  const entries = parseMbr(sector)
  if (entries === undefined) throw diskError(span, at * sectorSize, 'no EBR where the chain of logical partitions leads to', '55aa', 'something else')
  const data = entries.find(({ type }) => !EXTENDED.has(type))
  const next = entries.find(({ type }) => EXTENDED.has(type))
  return {
    partition: data === undefined ? undefined : placed(data.type, at + data.first, data.count, sectorSize),
    next: next === undefined ? undefined : base + next.first,
  }
}

/** Where a table in sectors of this size would have file systems or the begin of a chain of logical partitions. */
export function placesOf(entries: readonly MbrEntry[], sectorSize: SectorSize): { at: number; size: number; extended: boolean }[] {
  return entries.map(({ type, first, count }) => ({ at: first * sectorSize, size: count * sectorSize, extended: EXTENDED.has(type) }))
}
