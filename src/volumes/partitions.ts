import { FormatError, type PbsfsError } from '../errors/errors.js'
import { diskError, type Span } from './span.js'

/** As many as the kernel makes of one disk. */
export const MAX_PARTITIONS = 256

/** Bytes; the sector is what the tables count in. */
export type SectorSize = 512 | 4096
export const SECTOR_SIZES: readonly SectorSize[] = [512, 4096]

export interface Partition {
  /** As the kernel numbers it: p3. */
  readonly number: number
  /** Bytes from the start of the disk; may lie outside of it until it was checked. */
  readonly start: number
  readonly size: number
  /** GPT: type GUID; MBR: `0x83`. */
  readonly type: string
  /** Name in the table (GPT), text. */
  readonly name?: string
  readonly uuid?: string
}

export interface PartitionTable {
  readonly kind: 'gpt' | 'mbr'
  readonly sectorSize: SectorSize
  /** In the order of their numbers; all lie inside the disk. */
  readonly partitions: readonly Partition[]
  /** What is wrong with the table; what is not in `partitions` is named here. */
  readonly problems: readonly PbsfsError[]
}

/** Keeps what lies inside the disk; tells of the rest, and of partitions that share bytes. */
export function checkPartitions(span: Span, found: readonly Partition[]): { partitions: Partition[]; problems: PbsfsError[] } {
  const problems: PbsfsError[] = []
  const partitions = found.filter((partition) => {
    const end = partition.start + partition.size
    if (partition.size > 0 && end <= span.size) return true
    const range = `bytes ${partition.start} to ${end}`
    problems.push(diskError(span, 0, `partition ${partition.number} (${range}) lies outside the disk`, `at most ${span.size}`, end))
    return false
  })
  const sorted = [...partitions].sort((a, b) => a.start - b.start)
  let last: Partition | undefined
  for (const partition of sorted) {
    if (last !== undefined && partition.start < last.start + last.size) {
      const problem = `partitions ${last.number} and ${partition.number} overlap`
      problems.push(new FormatError(`${span.stream.name}: ${problem}`, { stream: span.stream.name, offset: partition.start, item: problem }))
    }
    if (last === undefined || partition.start + partition.size > last.start + last.size) last = partition
  }
  return { partitions: partitions.sort((a, b) => a.number - b.number), problems }
}
