import type { ReadAt } from '../bytes/read-at.js'
import type { PbsfsError } from '../errors/errors.js'
import { readGpt } from './gpt.js'
import { readPhysicalVolume, type PhysicalVolume } from './lvm/physical-volume.js'
import { isProtective, parseMbr, placesOf, protectedEnds, readMbr, type MbrEntry } from './mbr.js'
import type { Partition, PartitionTable, SectorSize } from './partitions.js'
import { isDamage, readUpTo, wholeOf, type Span } from './span.js'
import type { FileSystem } from './superblocks/file-system.js'
import { probeBootSector, probeFileSystem } from './superblocks/probe.js'

/** A partition, or the whole disk when it has none, and what it holds. */
export interface Part {
  readonly span: Span
  /** undefined: the whole disk. */
  readonly partition: Partition | undefined
  readonly fileSystem: FileSystem | undefined
  /** Why what it holds could not be looked at. */
  readonly problem: PbsfsError | undefined
}

export interface DiskScan {
  readonly table: 'gpt' | 'mbr' | 'none'
  readonly parts: readonly Part[]
  readonly pvs: readonly PhysicalVolume[]
  readonly problems: readonly PbsfsError[]
}

/**
 * Finds the partitions and physical volumes of one disk. Damage is told in the result and costs
 * only what it touches; rejects for KeyError and for what is no fault of the disk.
 */
export async function scanDisk(stream: ReadAt): Promise<DiskScan> {
  const problems: PbsfsError[] = []
  const keep = async <T>(work: Promise<T>): Promise<T | undefined> => {
    try {
      return await work
    } catch (error) {
      if (!isDamage(error)) throw error
      problems.push(error)
      return undefined
    }
  }
  if (stream.prepare !== undefined) await keep(Promise.resolve(stream.prepare()))
  if (problems.length > 0) return { table: 'none', parts: [], pvs: [], problems }
  // How long the stream is may only be certain now.
  const span = wholeOf(stream)
  const table = await findTable(span, keep)
  problems.push(...(table?.problems ?? []))
  const parts: Part[] = []
  if (table === undefined) {
    const whole = await lookAt(span, undefined)
    if (whole.fileSystem !== undefined) parts.push(whole)
    else if (whole.problem !== undefined) problems.push(whole.problem)
  }
  for (const partition of table?.partitions ?? []) {
    parts.push(await lookAt({ stream, start: partition.start, size: partition.size }, partition))
  }
  const pvs: PhysicalVolume[] = []
  for (const part of parts) {
    if (part.fileSystem?.type !== 'LVM2_member') continue
    const pv = await keep(readPhysicalVolume(part.span))
    if (pv !== undefined) pvs.push(pv)
  }
  return { table: table?.kind ?? 'none', parts, pvs, problems: withoutTwins(problems) }
}

type Keep = <T>(work: Promise<T>) => Promise<T | undefined>

/** The partition table; undefined: the disk has none, or a file system lies in its place. */
async function findTable(span: Span, keep: Keep): Promise<PartitionTable | undefined> {
  const sector = await keep(readUpTo(span, 0, 512))
  const entries = sector === undefined ? undefined : parseMbr(sector)
  const announced = entries !== undefined && isProtective(entries)
  const gpt = await readGpt(span, { anywhere: announced || sector === undefined, ends: protectedEnds(entries ?? []) })
  if (gpt !== undefined) return gpt
  if (sector !== undefined && entries !== undefined && entries.length > 0 && (await keep(probeBootSector(span))) === undefined) {
    return readMbr(span, sector, announced ? 512 : await guessSectorSize(span, entries))
  }
  // Whoever wiped the begin of a disk left the second GPT where it was.
  if ((await keep(probeFileSystem(span))) !== undefined) return undefined
  return readGpt(span, { anywhere: true, ends: [] })
}

/** An MBR does not say how large its sectors are: those count in which something is where it says. */
async function guessSectorSize(span: Span, entries: readonly MbrEntry[]): Promise<SectorSize> {
  const small = await countHits(span, entries, 512)
  return small === 0 && (await countHits(span, entries, 4096)) > 0 ? 4096 : 512
}

async function countHits(span: Span, entries: readonly MbrEntry[], sectorSize: SectorSize): Promise<number> {
  let hits = 0
  for (const { at, size, extended } of placesOf(entries, sectorSize)) {
    if (at + size > span.size) continue
    const place = { stream: span.stream, start: at, size }
    try {
      if (extended ? parseMbr(await readUpTo(place, 0, 512)) !== undefined : (await probeFileSystem(place)) !== undefined) hits++
    } catch (error) {
      if (!isDamage(error)) throw error
    }
  }
  return hits
}

async function lookAt(span: Span, partition: Partition | undefined): Promise<Part> {
  try {
    return { span, partition, fileSystem: await probeFileSystem(span), problem: undefined }
  } catch (error) {
    if (!isDamage(error)) throw error
    return { span, partition, fileSystem: undefined, problem: error }
  }
}

/** The same failure may be met on several ways to the same bytes. */
function withoutTwins(problems: readonly PbsfsError[]): PbsfsError[] {
  return [...new Map(problems.map((problem) => [`${problem.fields['offset']} ${problem.message}`, problem])).values()]
}
