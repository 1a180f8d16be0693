import { FormatError } from '../errors/errors.js'

/** Of a virtual machine of Proxmox VE, as `qemu-server.conf` in its backup has it. */
export interface MachineConfig {
  readonly name: string | undefined
  /** MiB. */
  readonly memory: number
  readonly sockets: number
  readonly cores: number
  readonly firmware: 'seabios' | 'ovmf'
  readonly isQ35: boolean
  readonly arch: 'x86_64' | 'aarch64'
  /** Model of the controller of scsi disks. */
  readonly scsiController: string
  readonly uuid: string | undefined
  /** Names of disks in the order they are tried; empty: nothing is said. */
  readonly bootOrder: readonly string[]
  readonly disks: readonly MachineDisk[]
  readonly hasTpm: boolean
}

export type DiskBus = 'ide' | 'sata' | 'scsi' | 'virtio' | 'efidisk'

export interface MachineDisk {
  /** `scsi0`. */
  readonly name: string
  readonly bus: DiskBus
  readonly index: number
  readonly isSsd: boolean
  readonly discards: boolean
  readonly serial: string | undefined
}

/** Longest configuration that is looked at; real ones have a few KiB. */
const MAX_CONFIG = 1024 * 1024

const DEFAULT_MEMORY = 512
const MAX_MEMORY = 16 * 1024 * 1024
const MAX_CPUS = 512

/** Disks a bus can have: of ide 4, sata 6, scsi 31, virtio 16. */
const LAST_INDEX: Readonly<Record<DiskBus, number>> = { ide: 3, sata: 5, scsi: 30, virtio: 15, efidisk: 0 }

const DISK = /^(ide|sata|scsi|virtio|efidisk)(\d{1,2})$/

/** Reads a configuration. What does not concern starting the machine is passed over. FormatError when it is none. */
export function parseMachineConfig(bytes: Uint8Array, name: string): MachineConfig {
  if (bytes.length > MAX_CONFIG) throw new FormatError(`${name} is too long for the configuration of a machine`, { stream: name, actual: bytes.length, expected: MAX_CONFIG })
  const values = readValues(Buffer.from(bytes).toString('utf8'))
  const disks = [...values].flatMap(([key, value]) => readDisk(key, value) ?? [])
  return {
    name: values.get('name'),
    memory: readCount(values.get('memory')?.replace(/^current=/, ''), DEFAULT_MEMORY, MAX_MEMORY),
    sockets: readCount(values.get('sockets'), 1, MAX_CPUS),
    cores: readCount(values.get('cores'), 1, MAX_CPUS),
    firmware: values.get('bios') === 'ovmf' ? 'ovmf' : 'seabios',
    isQ35: /(?:^|[=-])q35/.test(values.get('machine') ?? ''),
    arch: values.get('arch') === 'aarch64' ? 'aarch64' : 'x86_64',
    scsiController: values.get('scsihw') ?? 'lsi',
    uuid: /(?:^|,)uuid=([0-9a-fA-F-]{36})(?:,|$)/.exec(values.get('smbios1') ?? '')?.[1],
    bootOrder: readBootOrder(values),
    disks,
    hasTpm: values.has('tpmstate0'),
  }
}

/** The machine that the names of its images tell of, when its configuration is not in the backup. */
export function guessMachine(images: readonly string[]): MachineConfig {
  const disks = images.flatMap((image) => readDisk(image, 'x') ?? [])
  const firmware = disks.some(({ bus }) => bus === 'efidisk') ? 'ovmf' : 'seabios'
  return {
    name: undefined, memory: 2048, sockets: 1, cores: 2, firmware, isQ35: false, arch: 'x86_64', scsiController: 'virtio-scsi-pci',
    uuid: undefined, bootOrder: [], disks, hasTpm: false,
  } // prettier-ignore
}

/** `key: value` up to the first section: those are snapshots, and changes that wait. */
function readValues(text: string): Map<string, string> {
  const values = new Map<string, string>()
  for (const line of text.split('\n')) {
    if (/^\[.*\]\s*$/.test(line)) break
    const match = /^([a-z][a-z0-9_-]*):\s*(.*?)\s*$/.exec(line)
    if (match !== null && !values.has(match[1]!)) values.set(match[1]!, match[2]!)
  }
  return values
}

function readDisk(key: string, value: string): MachineDisk | undefined {
  const match = DISK.exec(key)
  if (match === null) return undefined
  const bus = match[1] as DiskBus
  const index = Number(match[2])
  const options = new Map(value.split(',').slice(1).map((option) => [option.split('=')[0]!, option.slice(option.indexOf('=') + 1)] as const))
  if (index > LAST_INDEX[bus] || options.get('media') === 'cdrom' || /^(?:none|cdrom)(?:,|$)/.test(value)) return undefined
  return { name: key, bus, index, isSsd: options.get('ssd') === '1', discards: /^(?:on|unmap)$/.test(options.get('discard') ?? ''), serial: options.get('serial') }
}

/** `order=scsi0;net0`, or the older `cdn` with `bootdisk`. */
function readBootOrder(values: ReadonlyMap<string, string>): string[] {
  const order = /(?:^|,)order=([^,]*)/.exec(values.get('boot') ?? '')?.[1]
  if (order !== undefined) return order.split(';').filter((name) => name !== '')
  const disk = values.get('bootdisk')
  return disk === undefined ? [] : [disk]
}

function readCount(text: string | undefined, otherwise: number, most: number): number {
  const count = text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : 0
  return count > 0 && count <= most ? count : otherwise
}
