import { crc32 } from 'node:zlib'

/*
 * Writes partition tables, LVM metadata and superblocks into a sparse disk, for tests: the
 * counterpart of src/volumes, written from the formats alone.
 */

export interface GptPart {
  readonly first: number | bigint
  readonly last: number | bigint
  readonly name?: string
}

/** A disk in memory. */
export class DiskWriter {
  readonly bytes: Buffer

  constructor(size: number) {
    this.bytes = Buffer.alloc(size)
  }

  write(offset: number, data: Uint8Array): this {
    this.bytes.set(data, offset)
    return this
  }

  /** A GPT with both headers and a protective MBR. */
  gpt(parts: readonly (GptPart | undefined)[], sector = 512): this {
    const last = this.bytes.length / sector - 1
    this.mbr([{ type: 0xee, first: 1, count: Math.min(last, 0xffffffff) }])
    const entries = Buffer.alloc(128 * 128)
    parts.forEach((part, i) => {
      if (part === undefined) return
      const at = i * 128
      entries.write('af3dc60f838472478e793d69d8477de4', at, 'hex')
      entries.writeUInt32LE(i + 1, at + 16)
      entries.writeBigUInt64LE(BigInt(part.first), at + 32)
      entries.writeBigUInt64LE(BigInt(part.last), at + 40)
      entries.write(part.name ?? '', at + 56, 'utf16le')
    })
    const span = Math.ceil(entries.length / sector)
    this.gptHeader(1, last, 2, entries, sector)
    this.gptHeader(last, 1, last - span, entries, sector)
    return this
  }

  gptHeader(self: number, other: number, entriesAt: number, entries: Buffer, sector = 512): this {
    const header = Buffer.alloc(92)
    header.write('EFI PART', 0, 'latin1')
    header.writeUInt32LE(0x10000, 8)
    header.writeUInt32LE(92, 12)
    header.writeBigUInt64LE(BigInt(self), 24)
    header.writeBigUInt64LE(BigInt(other), 32)
    header.writeBigUInt64LE(BigInt(entriesAt), 72)
    header.writeUInt32LE(128, 80)
    header.writeUInt32LE(128, 84)
    header.writeUInt32LE(crc32(entries), 88)
    header.writeUInt32LE(crc32(header), 16)
    return this.write(self * sector, header).write(entriesAt * sector, entries)
  }

  /** An MBR, or an EBR when it is somewhere else. */
  mbr(entries: readonly (MbrPart | undefined)[], at = 0): this {
    entries.forEach((entry, i) => {
      if (entry === undefined) return
      const place = at + 446 + i * 16
      this.bytes[place] = entry.flag ?? 0
      this.bytes[place + 4] = entry.type
      this.bytes.writeUInt32LE(entry.first, place + 8)
      this.bytes.writeUInt32LE(entry.count, place + 12)
    })
    this.bytes[at + 510] = 0x55
    this.bytes[at + 511] = 0xaa
    return this
  }

  /** The superblock of an ext4 without anything behind it. */
  ext4(at: number, label = '', options: { dirty?: boolean } = {}): this {
    const sb = Buffer.alloc(1024)
    sb.writeUInt16LE(0xef53, 0x38)
    sb.writeUInt32LE(0x4, 0x5c)
    sb.writeUInt32LE(0x242 | (options.dirty === true ? 4 : 0), 0x60)
    sb.write('00112233445566778899aabbccddeeff', 0x68, 'hex')
    sb.write(label, 0x78, 'latin1')
    return this.write(at + 1024, sb)
  }

  /** A physical volume: label in sector 1, one metadata area of `areaSize` at 4096, `text` in it. */
  pv(at: number, id: string, text: string | undefined, options: PvOptions = {}): this {
    const areaSize = options.areaSize ?? 1024 * 1024 - 4096
    const label = Buffer.alloc(512)
    label.write('LABELONE', 0, 'latin1')
    label.writeUInt32LE(1, 8)
    label.writeUInt32LE(32, 20)
    label.write('LVM2 001', 24, 'latin1')
    label.write(id, 32, 'latin1')
    label.writeBigUInt64LE(BigInt(1024 * 1024), 72)
    if (text !== undefined) {
      label.writeBigUInt64LE(4096n, 104)
      label.writeBigUInt64LE(BigInt(areaSize), 112)
    }
    label.writeUInt32LE(lvmCrc(label.subarray(20)), 16)
    this.write(at + 512, label)
    if (text === undefined) return this
    const bytes = Buffer.from(`${text}\0`, 'latin1')
    const offset = options.textAt ?? 512
    const header = Buffer.alloc(512)
    header.write(' LVM2 x[5A%r0N*>', 4, 'latin1')
    header.writeUInt32LE(1, 20)
    header.writeBigUInt64LE(4096n, 24)
    header.writeBigUInt64LE(BigInt(areaSize), 32)
    header.writeBigUInt64LE(BigInt(offset), 40)
    header.writeBigUInt64LE(BigInt(options.textSize ?? bytes.length), 48)
    header.writeUInt32LE(lvmCrc(bytes), 56)
    header.writeUInt32LE(options.ignored === true ? 1 : 0, 60)
    header.writeUInt32LE(lvmCrc(header.subarray(4)), 0)
    const first = Math.min(bytes.length, areaSize - offset)
    this.write(at + 4096, header).write(at + 4096 + offset, bytes.subarray(0, first))
    return this.write(at + 4096 + 512, bytes.subarray(first))
  }
}

export interface MbrPart {
  readonly type: number
  readonly first: number
  readonly count: number
  readonly flag?: number
}

export interface PvOptions {
  readonly areaSize?: number
  /** Where in the area the text begins; it goes round its end. */
  readonly textAt?: number
  readonly textSize?: number
  readonly ignored?: boolean
}

function lvmCrc(bytes: Uint8Array): number {
  let crc = 0xf597a6cf
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return crc >>> 0
}

/** An id of LVM made of one letter. */
export const lvmId = (letter: string): string => letter.repeat(32)

export interface VgText {
  readonly name?: string
  readonly id?: string
  readonly seqno?: number
  /** Ids of physical volumes, `pv0` first. */
  readonly pvs: readonly string[]
  /** Body of each logical volume's segments. */
  readonly lvs: Readonly<Record<string, readonly LvSegment[] | string>>
}

export interface LvSegment {
  readonly start: number
  readonly count: number
  readonly pv: string
  readonly from: number
}

/** The text of a volume group with extents of 1 MiB, data from 1 MiB on. */
export function vgText(vg: VgText): string {
  const dashed = (id: string) => [id.slice(0, 6), ...(id.slice(6, 26).match(/.{4}/g) ?? []), id.slice(26)].join('-')
  const pvs = vg.pvs.map((id, i) => `pv${i} {\nid = "${dashed(id)}"\ndevice = "/dev/x${i}"\nstatus = ["ALLOCATABLE"]\npe_start = 2048\npe_count = 7\n}\n`)
  const lvs = Object.entries(vg.lvs).map(([name, segments], i) => {
    const body =
      typeof segments === 'string'
        ? segments
        : segments
            .map(({ start, count, pv, from }, n) => `segment${n + 1} {\nstart_extent = ${start}\nextent_count = ${count}\ntype = "striped"\nstripe_count = 1\nstripes = [\n"${pv}", ${from}\n]\n}\n`)
            .join('')
    return `${name} {\nid = "${dashed(lvmId(String.fromCharCode(97 + i)))}"\nstatus = ["READ", "WRITE", "VISIBLE"]\nsegment_count = 1\n${body}}\n`
  })
  return [
    `${vg.name ?? 'vg0'} {\nid = "${dashed(vg.id ?? lvmId('V'))}"\nseqno = ${vg.seqno ?? 1}\nformat = "lvm2" # informational\nstatus = ["RESIZEABLE", "READ"]\nextent_size = 2048\n`,
    `physical_volumes {\n${pvs.join('')}}\nlogical_volumes {\n${lvs.join('')}}\n}\n`,
    '# Generated\ncontents = "Text Format Volume Group"\nversion = 1\ndescription = "a \\"b\\" \\\\ c"\ncreation_time = 1700000000\n',
  ].join('')
}
