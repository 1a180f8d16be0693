import { crc32 } from 'node:zlib'
import { FormatError } from '../errors/errors.js'

/** Bytes in front of the bits. */
export const HEADER_SIZE = 4096

/** Of each block that is either in the file or in the backup. */
export const BLOCK_SIZE = 64 * 1024

/** Blocks of the largest disk: 16 TiB need 32 MiB of bits. */
export const MAX_BLOCKS = 2 ** 28

/*
 *     0      magic, 17 bytes
 *     20     u32 length of the text
 *     24     u32 CRC-32 of the text
 *     28     the text: JSON, UTF-8; beside what MapHeader has `mapBytes`, the size of the whole map (absent: not known)
 *     3584   boot id of the host when the bits were last made safe: 36 ASCII bytes, in a sector of its own
 */
const MAGIC = Buffer.from('pbsfs disk map 1\n')
const LENGTH_AT = 20
const CRC_AT = 24
const TEXT_AT = 28
export const BOOT_ID_AT = 3584
const BOOT_ID_SIZE = 36

/** What a map belongs to. */
export interface MapHeader {
  /** Bytes of the disk. */
  readonly size: number
  readonly blockSize: number
  /** Tells the image in the backup from any other one. */
  readonly identity: string
  /** The same image for a person: where it is, escaped. */
  readonly image: string
  /** Absent: an overlay, which lives beside its image. `restore`: the file becomes the whole disk, and the map goes then. */
  readonly purpose?: 'restore'
}

/** `mapBytes`: of the whole file. */
export function encodeHeader({ size, blockSize, identity, image, purpose }: MapHeader, bootId: string, mapBytes: number): Buffer {
  const text = Buffer.from(JSON.stringify({ size, blockSize, identity, image, purpose, mapBytes }))
  if (TEXT_AT + text.length > BOOT_ID_AT) throw new FormatError('the name of the image is too long for the map of a disk', { actual: text.length })
  const out = Buffer.alloc(HEADER_SIZE)
  MAGIC.copy(out)
  out.writeUInt32LE(text.length, LENGTH_AT)
  out.writeUInt32LE(crc32(text), CRC_AT)
  text.copy(out, TEXT_AT)
  encodeBootId(bootId).copy(out, BOOT_ID_AT)
  return out
}

export function encodeBootId(bootId: string): Buffer {
  return Buffer.from(bootId.slice(0, BOOT_ID_SIZE).padEnd(BOOT_ID_SIZE), 'latin1')
}

/** Do these bytes begin as a map does, damaged or not? */
export function isMapHeader(bytes: Buffer): boolean {
  return bytes.subarray(0, MAGIC.length).equals(MAGIC)
}

/** FormatError when it is no header of ours; `name` is the file, for messages. */
export function decodeHeader(bytes: Buffer, name: string): { readonly header: MapHeader; readonly bootId: string; readonly mapBytes: number } {
  if (!isMapHeader(bytes)) throw new FormatError(`${name} is no map of a disk`, { stream: name })
  const length = bytes.readUInt32LE(LENGTH_AT)
  const text = bytes.subarray(TEXT_AT, TEXT_AT + Math.min(length, BOOT_ID_AT - TEXT_AT))
  if (text.length !== length || crc32(text) !== bytes.readUInt32LE(CRC_AT)) throw damaged(name, 'its checksum does not fit')
  const { size, blockSize, identity, image, purpose, mapBytes = 0 } = readText(text, name)
  if (!isCount(size) || !isCount(blockSize) || blockSize < 512 || !isCount(mapBytes) || typeof identity !== 'string' || typeof image !== 'string') {
    throw damaged(name, 'a value is missing')
  }
  if (purpose !== undefined && purpose !== 'restore') throw damaged(name, 'it has a purpose that is not known')
  if (Math.ceil(size / blockSize) > MAX_BLOCKS) throw damaged(name, 'it has too many blocks')
  const bootId = bytes.toString('latin1', BOOT_ID_AT, BOOT_ID_AT + BOOT_ID_SIZE)
  return { header: { size, blockSize, identity, image, ...(purpose === undefined ? {} : { purpose }) }, bootId: bootId.trimEnd(), mapBytes }
}

function readText(text: Buffer, name: string): { readonly [key in keyof MapHeader | 'mapBytes']?: unknown } {
  let value: unknown
  try {
    value = JSON.parse(text.toString())
  } catch {
    throw damaged(name, 'its text is no JSON')
  }
  return typeof value === 'object' && value !== null ? value : {}
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function damaged(name: string, why: string): FormatError {
  return new FormatError(`${name}: the map of the disk is damaged: ${why}`, { stream: name })
}
