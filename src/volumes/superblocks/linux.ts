import { readUuid } from '../guid.js'
import { has, identity, isAt, labelAt, type FileSystem, type Probe } from './file-system.js'

/** ext2, ext3, ext4: superblock at 1024 (kernel: Documentation/filesystems/ext4/super.rst), LE. */
const EXT = {
  magic: 1024 + 0x38, compat: 1024 + 0x5c, incompat: 1024 + 0x60, roCompat: 1024 + 0x64, uuid: 1024 + 0x68, label: 1024 + 0x78, end: 2048,
} as const // prettier-ignore
const EXT_HAS_JOURNAL = 0x4
const EXT_NEEDS_RECOVERY = 0x4
const EXT_JOURNAL_DEVICE = 0x8
/** Features up to which it is ext3: filetype, needs recovery, journal device, meta block groups. */
const EXT3_INCOMPAT = 0x1e
/** Sparse superblocks, large files, directories as trees. */
const EXT3_RO_COMPAT = 0x7

export function probeExt(probe: Probe): FileSystem | undefined {
  const { head, view } = probe
  if (!has(probe, EXT.end) || view.getUint16(EXT.magic, true) !== 0xef53) return undefined
  const incompat = view.getUint32(EXT.incompat, true)
  const found = identity(labelAt(head, EXT.label, 16), readUuid(head, EXT.uuid))
  if ((incompat & EXT_JOURNAL_DEVICE) !== 0) return { type: 'jbd', extension: 'jbd', mountable: false, ...found }
  const old = (incompat & ~EXT3_INCOMPAT) === 0 && (view.getUint32(EXT.roCompat, true) & ~EXT3_RO_COMPAT) === 0
  const type = !old ? 'ext4' : (view.getUint32(EXT.compat, true) & EXT_HAS_JOURNAL) !== 0 ? 'ext3' : 'ext2'
  const dirty = (incompat & EXT_NEEDS_RECOVERY) !== 0
  const hint = 'the journal was not written back when the backup was made: mount it with noload, the last changes are then missing'
  return { type, extension: type, mountable: true, ...found, ...(dirty ? { mountOptions: 'noload', hint } : {}) }
}

/** btrfs: superblock at 64 KiB, LE. */
const BTRFS = { fsid: 0x10020, magic: 0x10040, logRoot: 0x10060, devices: 0x10088, label: 0x1012b, end: 0x1022b } as const

export function probeBtrfs(probe: Probe): FileSystem | undefined {
  const { head, view } = probe
  if (!has(probe, BTRFS.end) || !isAt(probe, BTRFS.magic, '_BHRfS_M')) return undefined
  const dirty = view.getUint32(BTRFS.logRoot, true) !== 0 || view.getUint32(BTRFS.logRoot + 4, true) !== 0
  const devices = view.getUint32(BTRFS.devices, true)
  const hints = [
    ...(dirty ? ['it has a log that was not replayed: mount it with rescue=nologreplay'] : []),
    ...(devices > 1 ? [`one of ${devices} devices of a btrfs: map all of them before mounting`] : []),
  ]
  return {
    type: 'btrfs', extension: 'btrfs', mountable: true, ...identity(labelAt(head, BTRFS.label, 256), readUuid(head, BTRFS.fsid)),
    ...(dirty ? { mountOptions: 'rescue=nologreplay' } : {}),
    ...(hints.length === 0 ? {} : { hint: hints.join('; ') }),
  } // prettier-ignore
}

/** squashfs 4: magic at 0, major version at 28, LE. */
export function probeSquashfs(probe: Probe): FileSystem | undefined {
  if (!has(probe, 96) || !isAt(probe, 0, 'hsqs') || probe.view.getUint16(28, true) !== 4) return undefined
  return { type: 'squashfs', extension: 'squashfs', mountable: true }
}

/** EROFS: superblock at 1024, LE. */
const EROFS = { magic: 1024, uuid: 1024 + 48, label: 1024 + 64, end: 1024 + 128 } as const

export function probeErofs(probe: Probe): FileSystem | undefined {
  if (!has(probe, EROFS.end) || probe.view.getUint32(EROFS.magic, true) !== 0xe0f5e1e2) return undefined
  return { type: 'erofs', extension: 'erofs', mountable: true, ...identity(labelAt(probe.head, EROFS.label, 16), readUuid(probe.head, EROFS.uuid)) }
}

/** Swap: the magic ends the first page, whose size is that of the machine. */
const SWAP_PAGES = [4096, 8192, 16384, 65536] as const
const SWAP = { uuid: 1036, label: 1052 } as const

export function probeSwap(probe: Probe): FileSystem | undefined {
  if (!SWAP_PAGES.some((page) => isAt(probe, page - 10, 'SWAPSPACE2'))) return undefined
  return { type: 'swap', extension: 'swap', mountable: false, ...identity(labelAt(probe.head, SWAP.label, 16), readUuid(probe.head, SWAP.uuid)) }
}
