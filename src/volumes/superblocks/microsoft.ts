import { hex } from '../../bytes/names.js'
import { viewOf } from '../../bytes/le.js'
import { isDamage, readSpan, readUpTo } from '../span.js'
import { has, identity, isAt, paddedAt, utf16At, type FileSystem, type Probe } from './file-system.js'

/*
 * Boot sectors, little-endian. All begin with a jump; 11 bytes per sector, 13 sectors per cluster.
 *
 * FAT    14 reserved sectors  16 number of FATs  17 root entries  19/32 sectors  21 media
 *        22 sectors per FAT, 36 the same of FAT32, 44 root cluster of FAT32
 * exFAT  88 cluster heap (sectors)  96 root cluster  100 serial  108, 109 shifts of sector, cluster
 * NTFS   48 cluster of the MFT  64 size of a file record  72 serial
 */
const FAT = {
  sectorSize: 11, perCluster: 13, reserved: 14, fats: 16, rootEntries: 17, sectors16: 19, media: 21, fatSize16: 22,
  sectors32: 32, fatSize32: 36, rootCluster: 44, serial16: 39, label16: 43, serial32: 67, label32: 71,
} as const // prettier-ignore
const DIR_ENTRY = 32
const ATTR_LABEL = 0x08
const ATTR_LONG_NAME = 0x0f
/** Bytes of a root directory that are searched for the label. */
const MAX_ROOT_BYTES = 64 * 1024

export async function probeFat(probe: Probe): Promise<FileSystem | undefined> {
  const { head, view, span } = probe
  if (!hasBootSector(probe) || (head[0] !== 0xeb && head[0] !== 0xe9)) return undefined
  const sectorSize = view.getUint16(FAT.sectorSize, true)
  const perCluster = head[FAT.perCluster]!
  const reserved = view.getUint16(FAT.reserved, true)
  const fats = head[FAT.fats]!
  const media = head[FAT.media]!
  if (![512, 1024, 2048, 4096].includes(sectorSize) || perCluster === 0 || (perCluster & (perCluster - 1)) !== 0) return undefined
  if (reserved === 0 || fats === 0 || fats > 4 || (media !== 0xf0 && media < 0xf8)) return undefined
  const small = view.getUint16(FAT.fatSize16, true)
  const fatSize = small === 0 ? view.getUint32(FAT.fatSize32, true) : small
  const sectors = view.getUint16(FAT.sectors16, true) || view.getUint32(FAT.sectors32, true)
  const rootSectors = Math.ceil((view.getUint16(FAT.rootEntries, true) * DIR_ENTRY) / sectorSize)
  const data = reserved + fats * fatSize + rootSectors
  if (fatSize === 0 || sectors <= data) return undefined
  // FAT12 and FAT16 have the same fields; what tells them apart does not matter here.
  const wide = small === 0
  const rootAt = wide ? data + (view.getUint32(FAT.rootCluster, true) - 2) * perCluster : data - rootSectors
  const rootLength = wide ? perCluster * sectorSize : rootSectors * sectorSize
  const root = await readDamaged(() => readUpTo(span, rootAt * sectorSize, Math.min(rootLength, MAX_ROOT_BYTES)))
  const label = findFatLabel(root) ?? bootLabel(head, wide ? FAT.label32 : FAT.label16)
  const serial = hex(Uint8Array.from(head.subarray(wide ? FAT.serial32 : FAT.serial16, (wide ? FAT.serial32 : FAT.serial16) + 4)).reverse())
  const uuid = `${serial.slice(0, 4)}-${serial.slice(4)}`.toUpperCase()
  return { type: 'vfat', extension: 'vfat', mountable: true, ...identity(label, uuid) }
}

function bootLabel(head: Uint8Array, at: number): Uint8Array | undefined {
  const label = paddedAt(head, at, 11)
  return label === undefined || Buffer.from(label).toString('latin1') === 'NO NAME' ? undefined : label
}

function findFatLabel(root: Uint8Array): Uint8Array | undefined {
  for (let at = 0; at + DIR_ENTRY <= root.length && root[at] !== 0; at += DIR_ENTRY) {
    const attributes = root[at + 11]!
    const isLabel = (attributes & ATTR_LABEL) !== 0 && (attributes & ATTR_LONG_NAME) !== ATTR_LONG_NAME
    if (root[at] !== 0xe5 && isLabel) return paddedAt(root, at, 11)
  }
  return undefined
}

const EXFAT = { heap: 88, rootCluster: 96, serial: 100, sectorShift: 108, clusterShift: 109 } as const
const EXFAT_LABEL_ENTRY = 0x83

export async function probeExfat(probe: Probe): Promise<FileSystem | undefined> {
  const { head, view, span } = probe
  if (!hasBootSector(probe) || !isAt(probe, 3, 'EXFAT   ')) return undefined
  const serial = hex(Uint8Array.from(head.subarray(EXFAT.serial, EXFAT.serial + 4)).reverse())
  const [sectorShift, clusterShift] = [head[EXFAT.sectorShift]!, head[EXFAT.clusterShift]!]
  let label: Uint8Array | undefined
  if (sectorShift >= 9 && sectorShift <= 12 && clusterShift <= 16) {
    const cluster = 2 ** (sectorShift + clusterShift)
    const at = view.getUint32(EXFAT.heap, true) * 2 ** sectorShift + (view.getUint32(EXFAT.rootCluster, true) - 2) * cluster
    label = findExfatLabel(await readDamaged(() => readUpTo(span, at, Math.min(cluster, MAX_ROOT_BYTES))))
  }
  const uuid = `${serial.slice(0, 4)}-${serial.slice(4)}`.toUpperCase()
  return { type: 'exfat', extension: 'exfat', mountable: true, ...identity(label, uuid) }
}

function findExfatLabel(root: Uint8Array): Uint8Array | undefined {
  for (let at = 0; at + DIR_ENTRY <= root.length && root[at] !== 0; at += DIR_ENTRY) {
    if (root[at] === EXFAT_LABEL_ENTRY) return utf16At(root, at + 2, Math.min(root[at + 1]!, 11) * 2)
  }
  return undefined
}

const NTFS = { sectorSize: 11, perCluster: 13, mft: 48, recordSize: 64, serial: 72 } as const
/** The file $Volume. */
const VOLUME_RECORD = 3
const ATTR_VOLUME_NAME = 0x60
const ATTR_END = 0xffffffff
const MAX_RECORD_SIZE = 64 * 1024

export async function probeNtfs(probe: Probe): Promise<FileSystem | undefined> {
  if (!hasBootSector(probe) || !isAt(probe, 3, 'NTFS    ')) return undefined
  const { head } = probe
  const uuid = hex(Uint8Array.from(head.subarray(NTFS.serial, NTFS.serial + 8)).reverse()).toUpperCase()
  const label = findNtfsLabel(await readDamaged(() => readVolumeRecord(probe)))
  return { type: 'ntfs', extension: 'ntfs', mountable: true, ...identity(label, uuid) }
}

async function readVolumeRecord({ span, view }: Probe): Promise<Uint8Array> {
  const perCluster = view.getInt8(NTFS.perCluster)
  const sectorSize = view.getUint16(NTFS.sectorSize, true)
  // Negative numbers are exponents of two.
  const cluster = (perCluster < 0 ? 2 ** -perCluster : perCluster) * sectorSize
  const given = view.getInt8(NTFS.recordSize)
  const size = given < 0 ? 2 ** -given : given * cluster
  if (cluster === 0 || size < 256 || size > MAX_RECORD_SIZE || ![256, 512, 1024, 2048, 4096].includes(sectorSize)) return new Uint8Array(0)
  const mft = Number(view.getBigUint64(NTFS.mft, true)) * cluster
  const record = await readSpan(span, mft + VOLUME_RECORD * size, size)
  return undoFixups(record)
}

/** The last two bytes of each 512 are kept in a table of the record (its place at 4, its length at 6). */
function undoFixups(record: Uint8Array): Uint8Array {
  const view = viewOf(record)
  const [at, count] = [view.getUint16(4, true), view.getUint16(6, true)]
  for (let i = 1; i < count; i++) {
    const end = i * 512
    if (end > record.length || at + i * 2 + 2 > record.length) break
    record[end - 2] = record[at + i * 2]!
    record[end - 1] = record[at + i * 2 + 1]!
  }
  return record
}

/** Attributes: 0 type, 4 length, 8 not resident, 16 length of the value, 20 its place. The first one's place at 20 of the record. */
function findNtfsLabel(record: Uint8Array): Uint8Array | undefined {
  if (record.length < 256 || Buffer.from(record.subarray(0, 4)).toString('latin1') !== 'FILE') return undefined
  const view = viewOf(record)
  for (let at = view.getUint16(20, true); at + 24 <= record.length; ) {
    const type = view.getUint32(at, true)
    const length = view.getUint32(at + 4, true)
    if (type === ATTR_END || length < 24 || at + length > record.length) return undefined
    if (type === ATTR_VOLUME_NAME && record[at + 8] === 0) {
      const value = view.getUint16(at + 20, true)
      return utf16At(record, at + value, Math.min(view.getUint32(at + 16, true), length - value, 256))
    }
    at += length
  }
  return undefined
}

/** GUID of an encrypted volume in boot sectors that look like FAT. */
const BITLOCKER_TO_GO = '3bd66749292ed84a8399f6a339e3d001'

export function probeBitlocker(probe: Probe): FileSystem | undefined {
  if (!hasBootSector(probe)) return undefined
  const toGo = isAt(probe, 3, 'MSWIN4.1') && hex(probe.head.subarray(0x1a8, 0x1b8)) === BITLOCKER_TO_GO
  if (!isAt(probe, 3, '-FVE-FS-') && !toGo) return undefined
  const hint = 'encrypted with BitLocker: map it and open it with cryptsetup open --type bitlk --readonly'
  return { type: 'BitLocker', extension: 'bitlocker', mountable: false, hint }
}

function hasBootSector(probe: Probe): boolean {
  return has(probe, 512) && probe.head[510] === 0x55 && probe.head[511] === 0xaa
}

/** What a label is looked for in; nothing when that is damaged: a label is worth no failure. */
async function readDamaged(read: () => Promise<Uint8Array>): Promise<Uint8Array> {
  try {
    return await read()
  } catch (error) {
    if (!isDamage(error)) throw error
    return new Uint8Array(0)
  }
}
