import { viewOf } from '../../bytes/le.js'
import { readUuid } from '../guid.js'
import { readUpTo } from '../span.js'
import { has, identity, isAt, labelAt, paddedAt, type FileSystem, type Probe } from './file-system.js'

/** LUKS 1 and 2: header at 0, big-endian. Version 2 has a label. */
const LUKS = { version: 6, label: 24, uuid: 168, end: 208 } as const

export function probeLuks(probe: Probe): FileSystem | undefined {
  if (!has(probe, LUKS.end) || !isAt(probe, 0, 'LUKS\xba\xbe')) return undefined
  const version = probe.view.getUint16(LUKS.version)
  const uuid = labelAt(probe.head, LUKS.uuid, 40)
  const label = version === 2 ? labelAt(probe.head, LUKS.label, 48) : undefined
  const hint = `encrypted with LUKS${version}: map it and open it with cryptsetup open --readonly`
  const found = identity(label, uuid === undefined ? undefined : Buffer.from(uuid).toString('latin1'))
  return { type: 'crypto_LUKS', extension: 'luks', mountable: false, hint, ...found }
}

/** A physical volume of LVM2: a label in one of the first four sectors, its UUID behind it. */
export const LVM_LABEL = { sectors: 4, sectorSize: 512, id: 'LABELONE', type: 'LVM2 001', typeAt: 24, offsetAt: 20 } as const
const LVM_UUID_GROUPS = [6, 4, 4, 4, 4, 4, 6] as const

export function probeLvm(probe: Probe): FileSystem | undefined {
  for (let i = 0; i < LVM_LABEL.sectors; i++) {
    const at = i * LVM_LABEL.sectorSize
    if (!isAt(probe, at, LVM_LABEL.id) || !isAt(probe, at + LVM_LABEL.typeAt, LVM_LABEL.type)) continue
    const header = at + probe.view.getUint32(at + LVM_LABEL.offsetAt, true)
    const id = has(probe, header + 32) ? Buffer.from(probe.head.subarray(header, header + 32)).toString('latin1') : ''
    return { type: 'LVM2_member', extension: 'lvm', mountable: false, ...identity(undefined, formatLvmId(id)) }
  }
  return undefined
}

/** 32 letters and digits in the groups LVM writes them in; undefined when they are something else. */
export function formatLvmId(id: string): string | undefined {
  if (!/^[A-Za-z0-9!#]{32}$/.test(id)) return undefined
  let at = 0
  return LVM_UUID_GROUPS.map((length) => id.slice(at, (at += length))).join('-')
}

/** md RAID: superblock 1.1 at 0, 1.2 at 4 KiB, 1.0 near the end, 0.90 in the last 64 KiB but one boundary. LE. */
const MD_MAGIC = 0xa92b4efc
const MD = { major: 4, uuid: 16, name: 32, level: 72 } as const

export function probeMd(probe: Probe): FileSystem | undefined {
  for (const at of [0, 4096]) {
    if (!has(probe, at + 256) || probe.view.getUint32(at, true) !== MD_MAGIC || probe.view.getUint32(at + MD.major, true) !== 1) continue
    return mdMember(probe.head, at)
  }
  return undefined
}

/** The formats that lie at the end, which a file system at the start may hide. */
export async function probeMdAtEnd(probe: Probe): Promise<FileSystem | undefined> {
  const { span } = probe
  const end = Math.floor(span.size / 512) * 512
  const places = [Math.floor((end - 8192) / 4096) * 4096, Math.floor(end / 65536) * 65536 - 65536]
  for (const at of places) {
    const bytes = await readUpTo(span, at, 256)
    if (bytes.length < 256) continue
    const view = viewOf(bytes)
    if (view.getUint32(0, true) !== MD_MAGIC) continue
    if (view.getUint32(MD.major, true) === 1) return mdMember(bytes, 0)
    return { type: 'linux_raid_member', extension: 'mdraid', mountable: false, hint: MD_HINT }
  }
  return undefined
}

const MD_HINT = 'member of a Linux software RAID: map it and assemble it with mdadm --assemble --readonly'

function mdMember(bytes: Uint8Array, at: number): FileSystem {
  const found = identity(labelAt(bytes, at + MD.name, 32), readUuid(bytes, at + MD.uuid))
  return { type: 'linux_raid_member', extension: 'mdraid', mountable: false, hint: MD_HINT, ...found }
}

/**
 * ZFS: the first label holds an XDR name-value list at 16 KiB; two u32 and the pairs follow four
 * bytes that say how it is encoded. A pair: its length, length decoded, name, type, count, value.
 */
const ZFS_LIST_AT = 16 * 1024
const ZFS_LIST_BYTES = 112 * 1024
const ZFS_MAX_PAIRS = 100
const ZFS_UINT64 = 8
const ZFS_STRING = 9

export function probeZfs(probe: Probe): FileSystem | undefined {
  if (!has(probe, ZFS_LIST_AT + ZFS_LIST_BYTES) || probe.head[ZFS_LIST_AT] !== 1 || probe.head[ZFS_LIST_AT + 1]! > 1) return undefined
  const list = probe.head.subarray(ZFS_LIST_AT, ZFS_LIST_AT + ZFS_LIST_BYTES)
  const view = viewOf(list)
  let name: Uint8Array | undefined
  let guid: string | undefined
  for (let at = 12, i = 0; i < ZFS_MAX_PAIRS && at + 16 <= list.length; i++) {
    const size = view.getUint32(at)
    if (size === 0) break
    const nameLength = view.getUint32(at + 8)
    const value = at + 12 + Math.ceil(nameLength / 4) * 4
    if (size % 4 !== 0 || size < 20 || nameLength > 256 || at + size > list.length || value + 16 > at + size) return undefined
    const key = Buffer.from(list.subarray(at + 12, at + 12 + nameLength)).toString('latin1')
    const type = view.getUint32(value)
    if (key === 'pool_guid' && type === ZFS_UINT64) guid = view.getBigUint64(value + 8).toString()
    if (key === 'name' && type === ZFS_STRING) name = labelAt(list.subarray(0, at + size), value + 12, view.getUint32(value + 8))
    at += size
  }
  if (guid === undefined) return undefined
  const hint = 'member of a ZFS pool: map it and import the pool with zpool import -d /dev -o readonly=on'
  return { type: 'zfs_member', extension: 'zfs', mountable: false, hint, ...identity(name, guid) }
}

/** ISO 9660: primary volume descriptor at 32 KiB, label at 40, time of creation (digits, UTC offset) at 813. */
const ISO = { at: 32768, id: 32769, label: 40, created: 813, end: 32768 + 2048 } as const

export function probeIso(probe: Probe): FileSystem | undefined {
  if (!has(probe, ISO.end) || !isAt(probe, ISO.id, 'CD001')) return undefined
  const digits = Buffer.from(probe.head.subarray(ISO.at + ISO.created, ISO.at + ISO.created + 16)).toString('latin1')
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(digits)
  const uuid = parts === null ? undefined : parts.slice(1).join('-')
  return { type: 'iso9660', extension: 'iso', mountable: true, ...identity(paddedAt(probe.head, ISO.at + ISO.label, 32), uuid) }
}

