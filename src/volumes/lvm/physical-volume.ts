import { crc32 } from 'node:zlib'
import { peekSize, viewOf } from '../../bytes/le.js'
import { hex, keyOf } from '../../bytes/names.js'
import { IntegrityError, type PbsfsError } from '../../errors/errors.js'
import { diskError, isDamage, readSpan, type Span } from '../span.js'
import { parseVolumeGroup, type VolumeGroup } from './volume-group.js'

/*
 * A physical volume of LVM2, little-endian (LVM2 sources describe it in format_text/layout.h).
 *
 * Label, in one of the first four sectors of 512 bytes:
 *   0 "LABELONE"  8 sector number  16 CRC of 20 to 511  20 offset of the header  24 "LVM2 001"
 * Header: 0 UUID (32 letters), 32 size, then pairs (offset, size), a zero pair ends the data
 * areas, another one the metadata areas.
 * Metadata area: 0 CRC of 4 to 511, 4 magic, 20 version, 24 start, 32 size, 40 text locations of
 * 24 bytes: 0 offset, 8 size, 16 CRC, 20 flags; an offset of 0 ends them. The text lies in a ring
 * that begins behind the first 512 bytes of the area.
 */
const SECTOR = 512
const LABEL_SECTORS = 4
const LABEL = { sector: 8, crc: 16, covered: 20, offset: 20, type: 24 } as const
const LABEL_ID = 'LABELONE'
const LABEL_TYPE = 'LVM2 001'
const HEADER = { size: 32, areas: 40 } as const
const AREA = { crc: 0, covered: 4, magic: 4, version: 20, start: 24, size: 32, locations: 40 } as const
const AREA_MAGIC = hex(Buffer.from(' LVM2 x[5A%r0N*>', 'latin1'))
const LOCATION = { offset: 0, size: 8, crc: 16, flags: 20 } as const
const LOCATION_IGNORED = 1
/** The text of a group of thousands of volumes has about one MiB. */
const MAX_TEXT = 8 * 1024 * 1024
/** LVM's seed for CRC-32, without the usual complements. */
const SEED = 0xf597a6cf

export interface PhysicalVolume {
  /** 32 letters, latin1. */
  readonly id: string
  readonly span: Span
  /** What its metadata says; undefined: it has none (of its own), or it is damaged. */
  readonly group: VolumeGroup | undefined
  readonly problems: readonly PbsfsError[]
}

/** The physical volume on a span; undefined: there is none. Rejects when its label is damaged. */
export async function readPhysicalVolume(span: Span): Promise<PhysicalVolume | undefined> {
  const length = Math.min(span.size, LABEL_SECTORS * SECTOR)
  const head = await readSpan(span, 0, Math.floor(length / SECTOR) * SECTOR)
  for (let i = 0; (i + 1) * SECTOR <= head.length; i++) {
    const sector = head.subarray(i * SECTOR, (i + 1) * SECTOR)
    if (keyOf(sector, 0, 8) !== LABEL_ID || keyOf(sector, LABEL.type, LABEL.type + 8) !== LABEL_TYPE) continue
    return readLabel(span, i * SECTOR, sector)
  }
  return undefined
}

async function readLabel(span: Span, at: number, sector: Uint8Array): Promise<PhysicalVolume> {
  const view = viewOf(sector)
  checkCrc(span, at, 'label of a physical volume', view.getUint32(LABEL.crc, true), sector.subarray(LABEL.covered))
  const header = view.getUint32(LABEL.offset, true)
  if (header < 32 || header + HEADER.areas > SECTOR) {
    throw diskError(span, at + LABEL.offset, 'physical volume with a header that cannot be', '32 to 472', header)
  }
  const id = keyOf(sector, header, header + 32)
  const areas = readAreas(span, at, sector, header)
  const problems: PbsfsError[] = []
  let newest: VolumeGroup | undefined
  for (const area of areas) {
    try {
      const group = await readArea(span, area)
      if (group !== undefined && (newest === undefined || group.seqno > newest.seqno)) newest = group
    } catch (error) {
      if (!isDamage(error)) throw error
      problems.push(error)
    }
  }
  return { id, span, group: newest, problems }
}

interface Area {
  readonly offset: number
  readonly size: number
}

/** The metadata areas behind the data areas. */
function readAreas(span: Span, labelAt: number, sector: Uint8Array, header: number): Area[] {
  const view = viewOf(sector)
  const lists: Area[][] = [[], []]
  let list = 0
  for (let at = header + HEADER.areas; at + 16 <= SECTOR && list < 2; at += 16) {
    const [offset, size] = [peekSize(view, at), peekSize(view, at + 8)]
    if (offset === 0) list++
    else lists[list]!.push({ offset, size })
  }
  if (list < 2) throw diskError(span, labelAt + header, 'physical volume whose list of areas does not end', 'two zero pairs', list)
  return lists[1]!
}

/** The volume group an area describes; undefined: none yet, or the copy here is not to be used. */
async function readArea(span: Span, area: Area): Promise<VolumeGroup | undefined> {
  if (area.offset < 0 || area.size < 2 * SECTOR || area.offset + area.size > span.size) {
    throw diskError(span, 0, 'metadata area outside the physical volume', `at most ${span.size}`, `${area.offset}+${area.size}`)
  }
  const sector = await readSpan(span, area.offset, SECTOR)
  const view = viewOf(sector)
  checkCrc(span, area.offset, 'metadata area', view.getUint32(AREA.crc, true), sector.subarray(AREA.covered))
  const magic = hex(sector.subarray(AREA.magic, AREA.magic + 16))
  if (magic !== AREA_MAGIC) throw diskError(span, area.offset + AREA.magic, 'no metadata area where one should be', AREA_MAGIC, magic)
  if (peekSize(view, AREA.start) !== area.offset) {
    throw diskError(span, area.offset + AREA.start, 'metadata area that says it lies elsewhere', area.offset, peekSize(view, AREA.start))
  }
  const size = peekSize(view, AREA.size)
  if (size < 2 * SECTOR || size > area.size) throw diskError(span, area.offset + AREA.size, 'metadata area of a wrong size', `at most ${area.size}`, size)
  const at = AREA.locations
  const offset = peekSize(view, at + LOCATION.offset)
  if (offset === 0 || (view.getUint32(at + LOCATION.flags, true) & LOCATION_IGNORED) !== 0) return undefined
  const length = peekSize(view, at + LOCATION.size)
  if (offset < SECTOR || offset >= size || length <= 0 || length > Math.min(size - SECTOR, MAX_TEXT)) {
    const actual = `${offset}+${length}`
    throw diskError(span, area.offset + at, 'metadata text that cannot lie where it should', `in ${SECTOR} to ${size}, at most ${MAX_TEXT} bytes`, actual)
  }
  const text = await readRing(span, area.offset, size, offset, length)
  checkCrc(span, area.offset + offset, 'metadata text', view.getUint32(at + LOCATION.crc, true), text)
  return parseVolumeGroup(keyOf(text), span.stream.name)
}

async function readRing(span: Span, base: number, size: number, offset: number, length: number): Promise<Uint8Array> {
  const first = Math.min(length, size - offset)
  const head = await readSpan(span, base + offset, first)
  if (first === length) return head
  return Buffer.concat([head, await readSpan(span, base + SECTOR, length - first)])
}

function checkCrc(span: Span, at: number, what: string, expected: number, bytes: Uint8Array): void {
  const actual = lvmCrc(bytes)
  if (actual === expected) return
  throw new IntegrityError(`${span.stream.name}: ${what}: the checksum is wrong`, { stream: span.stream.name, offset: span.start + at, expected, actual })
}

export function lvmCrc(bytes: Uint8Array): number {
  return ~crc32(bytes, ~SEED >>> 0) >>> 0
}
