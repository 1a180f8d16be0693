import { crc32 } from 'node:zlib'
import { DiskWriter, lvmId, vgText } from '../support/disk-writer.js'

const KiB = 1024
const SIZE = 512 * KiB

/** Small disks with what tables and superblocks the program knows. */
export function diskSeeds(): Buffer[] {
  const gpt = new DiskWriter(SIZE).gpt([{ first: 128, last: 400, name: 'root' }, { first: 401, last: 600, name: 'data' }])
  const mbr = new DiskWriter(SIZE).mbr([{ type: 0x83, first: 64, count: 128 }, { type: 5, first: 256, count: 256 }])
  const lvm = new DiskWriter(SIZE).pv(0, lvmId('A'), lvmText(), { areaSize: 64 * KiB })
  const ext = new DiskWriter(SIZE)
  ext.bytes.writeUInt16LE(0xef53, 1080)
  ext.bytes.write('label', 1024 + 120)
  const xfs = new DiskWriter(SIZE)
  xfs.bytes.write('XFSB', 0)
  xfs.bytes.writeUInt32BE(4096, 4)
  const fat = new DiskWriter(SIZE)
  fat.bytes.write('eb3c904d53444f53352e30000201010002e0004b0bf009001200020000000000', 0, 'hex')
  fat.bytes.writeUInt16LE(0xaa55, 510)
  const btrfs = new DiskWriter(SIZE)
  btrfs.bytes.write('_BHRfS_M', 64 * KiB + 64)
  return [gpt, mbr, lvm, ext, xfs, fat, btrfs].map(({ bytes }) => bytes)
}

/** A volume group of one volume. */
export function lvmText(): string {
  return vgText({ pvs: [lvmId('A')], lvs: { one: [{ start: 0, count: 1, pv: 'pv0', from: 0 }] } })
}

/** Makes the checksums of a GPT right again. */
export function fixDisk(bytes: Buffer): void {
  const header = 512
  if (bytes.length < 64 * KiB || bytes.toString('latin1', header, header + 8) !== 'EFI PART') return
  const count = Math.min(bytes.readUInt32LE(header + 80), 256)
  const size = Math.min(bytes.readUInt32LE(header + 84), 512)
  bytes.writeUInt32LE(crc32(bytes.subarray(1024, Math.min(bytes.length, 1024 + count * size))), header + 88)
  bytes.writeUInt32LE(0, header + 16)
  const length = Math.min(bytes.readUInt32LE(header + 12), 512)
  bytes.writeUInt32LE(crc32(bytes.subarray(header, header + length)), header + 16)
}
