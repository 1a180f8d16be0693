import { crc32 } from 'node:zlib'
import { peekSize, viewOf } from '../bytes/le.js'
import { IntegrityError, type PbsfsError } from '../errors/errors.js'
import { readGuid } from './guid.js'
import { checkPartitions, MAX_PARTITIONS, SECTOR_SIZES, type Partition, type PartitionTable, type SectorSize } from './partitions.js'
import { diskError, isDamage, readSpan, type Span } from './span.js'

/*
 * GUID partition table (UEFI specification, 5.3), little-endian. Header in sector 1 and in the
 * last sector; CRC-32 of IEEE 802.3.
 *
 *   0  "EFI PART"        40  first usable LBA      80  number of entries
 *   8  revision          48  last usable LBA       84  size of an entry
 *  12  header size       56  disk GUID             88  CRC of the entries
 *  16  CRC of header     72  LBA of the entries
 *  24  LBA of this header, 32 LBA of the other one
 *
 * Entry: 0 type GUID, 16 GUID, 32 first LBA, 40 last LBA (inclusive), 48 attributes, 56 name UTF-16
 */
const SIGNATURE = '4546492050415254'
const AT = { headerSize: 12, headerCrc: 16, self: 24, other: 32, entries: 72, count: 80, entrySize: 84, entriesCrc: 88 } as const
const ENTRY = { type: 0, guid: 16, first: 32, last: 40, name: 56, nameEnd: 128 } as const
const MIN_HEADER = 92
const MIN_ENTRY = 128
/** Usual are 128 entries of 128 bytes. */
const MAX_ENTRIES_BYTES = 1024 * 1024
const UNUSED_TYPE = '00000000-0000-0000-0000-000000000000'

interface Header {
  readonly at: number
  readonly sectorSize: SectorSize
  readonly entries: Uint8Array
  readonly entrySize: number
}

export interface GptSearch {
  /** Look for the second header although there is no trace of the first one. */
  readonly anywhere: boolean
  /** Bytes of the disk as a protective MBR tells them: the second header of a disk that has grown since lies there. */
  readonly ends: readonly number[]
}

/**
 * The GPT of a disk; undefined when there is none. A damaged first header is a problem of the
 * result, the partitions come from the second one then.
 */
export async function readGpt(span: Span, search: GptSearch): Promise<PartitionTable | undefined> {
  const problems: PbsfsError[] = []
  let seen = search.anywhere
  for (const candidate of headerPlaces(span, search.ends)) {
    if (candidate.backup && !seen) continue
    try {
      const header = await readHeader(span, candidate.at, candidate.sectorSize)
      if (header === undefined) continue
      if (candidate.backup) {
        problems.push(diskError(span, candidate.sectorSize, 'the first GPT is damaged, the one at the end of the disk is used', 'EFI PART', 'damaged'))
      }
      const { partitions, problems: more } = readEntries(span, header)
      return { kind: 'gpt', sectorSize: header.sectorSize, partitions, problems: [...problems, ...more] }
    } catch (error) {
      if (!isDamage(error)) throw error
      seen = true
      problems.push(error)
    }
  }
  return problems.length > 0 ? { kind: 'gpt', sectorSize: 512, partitions: [], problems } : undefined
}

interface HeaderPlace {
  readonly at: number
  readonly sectorSize: SectorSize
  readonly backup: boolean
}

function headerPlaces(span: Span, declared: readonly number[]): HeaderPlace[] {
  const first = SECTOR_SIZES.map((sectorSize) => ({ at: sectorSize, sectorSize, backup: false }))
  const ends = [...new Set([span.size, ...declared])]
  const last = ends.flatMap((end) =>
    SECTOR_SIZES.map((sectorSize) => ({ at: (Math.floor(end / sectorSize) - 1) * sectorSize, sectorSize, backup: true })),
  )
  return [...first, ...last].filter(({ at, sectorSize }) => at >= sectorSize && at + sectorSize <= span.size)
}

/** undefined: no header there. Throws what is wrong with one that is. */
async function readHeader(span: Span, at: number, sectorSize: SectorSize): Promise<Header | undefined> {
  const sector = await readSpan(span, at, sectorSize)
  if (Buffer.from(sector.subarray(0, 8)).toString('hex') !== SIGNATURE) return undefined
  const view = viewOf(sector)
  const headerSize = view.getUint32(AT.headerSize, true)
  if (headerSize < MIN_HEADER || headerSize > sectorSize) {
    throw diskError(span, at + AT.headerSize, 'GPT with a header size that cannot be', `${MIN_HEADER} to ${sectorSize}`, headerSize)
  }
  const bytes = Buffer.from(sector.subarray(0, headerSize))
  const expected = bytes.readUInt32LE(AT.headerCrc)
  bytes.writeUInt32LE(0, AT.headerCrc)
  checkCrc(span, at, 'GPT header', expected, bytes)
  if (peekSize(view, AT.self) * sectorSize !== at) {
    throw diskError(span, at + AT.self, 'GPT that says it lies elsewhere', at / sectorSize, peekSize(view, AT.self))
  }
  const count = view.getUint32(AT.count, true)
  const entrySize = view.getUint32(AT.entrySize, true)
  if (entrySize < MIN_ENTRY || entrySize % 8 !== 0 || count * entrySize > MAX_ENTRIES_BYTES) {
    const actual = `${count} of ${entrySize} bytes`
    throw diskError(span, at + AT.count, 'GPT with entries that cannot be', `entries of at least ${MIN_ENTRY} bytes, ${MAX_ENTRIES_BYTES} in all`, actual)
  }
  const lba = peekSize(view, AT.entries)
  if (lba < 0 || lba * sectorSize + count * entrySize > span.size) {
    throw diskError(span, at + AT.entries, 'GPT whose entries lie outside the disk', `at most ${span.size / sectorSize}`, lba)
  }
  const entries = await readSpan(span, lba * sectorSize, count * entrySize)
  checkCrc(span, lba * sectorSize, 'GPT entries', view.getUint32(AT.entriesCrc, true), entries)
  return { at, sectorSize, entries, entrySize }
}

function checkCrc(span: Span, at: number, what: string, expected: number, bytes: Uint8Array): void {
  const actual = crc32(bytes)
  if (actual === expected) return
  throw new IntegrityError(`${span.stream.name}: ${what}: the checksum is wrong`, { stream: span.stream.name, offset: span.start + at, expected, actual })
}

function readEntries(span: Span, header: Header): { partitions: Partition[]; problems: PbsfsError[] } {
  const { entries, entrySize, sectorSize } = header
  const view = viewOf(entries)
  const found: Partition[] = []
  const problems: PbsfsError[] = []
  for (let i = 0; (i + 1) * entrySize <= entries.length; i++) {
    const at = i * entrySize
    const type = readGuid(entries, at + ENTRY.type)
    if (type === UNUSED_TYPE) continue
    if (found.length + problems.length >= MAX_PARTITIONS) {
      problems.push(diskError(span, header.at, 'GPT with too many partitions, the rest is not shown', `at most ${MAX_PARTITIONS}`, 'more'))
      break
    }
    const number = i + 1
    const first = peekSize(view, at + ENTRY.first)
    const last = peekSize(view, at + ENTRY.last)
    const end = (last + 1) * sectorSize
    if (first < 0 || last < first || !Number.isSafeInteger(end)) {
      const actual = `${view.getBigUint64(at + ENTRY.first, true)} to ${view.getBigUint64(at + ENTRY.last, true)}`
      problems.push(diskError(span, header.at, `partition ${number} has sectors that cannot be (${actual})`, 'ascending sector numbers', actual))
      continue
    }
    const start = first * sectorSize
    const name = readName(entries, at)
    found.push({ number, start, size: end - start, type, uuid: readGuid(entries, at + ENTRY.guid), ...(name === '' ? {} : { name }) })
  }
  const checked = checkPartitions(span, found)
  return { partitions: checked.partitions, problems: [...problems, ...checked.problems] }
}

function readName(entries: Uint8Array, at: number): string {
  const text = new TextDecoder('utf-16le').decode(entries.subarray(at + ENTRY.name, at + ENTRY.nameEnd))
  const end = text.indexOf('\0')
  return end < 0 ? text : text.slice(0, end)
}
