import { FormatError } from '../errors/errors.js'

/**
 * Of a virtual machine of Proxmox VE, as `qemu-server.conf` in its backup has it. Texts are checked: they hold nothing that
 * could mean more than a value to QEMU.
 */
export interface MachineConfig {
  /** Letters, digits, dots and dashes. */
  readonly name: string | undefined
  /** MiB. */
  readonly memory: number
  readonly sockets: number
  readonly cores: number
  readonly firmware: 'seabios' | 'ovmf'
  /** Its UEFI variables are of the larger kind. */
  readonly hasLargeVariables: boolean
  readonly isQ35: boolean
  readonly arch: MachineArch
  readonly scsiController: ScsiController
  readonly uuid: string | undefined
  /** Its clock shows the time of its place, as Windows wants it. */
  readonly hasLocalClock: boolean
  readonly network: MachineNetwork | undefined
  /** Names of disks in the order they are tried; empty: nothing is said. */
  readonly bootOrder: readonly string[]
  readonly disks: readonly MachineDisk[]
  readonly hasTpm: boolean
  /** Names of settings that matter and are not taken over. */
  readonly leftOut: readonly string[]
}

export type MachineArch = 'x86_64' | 'aarch64'

export type ScsiController = (typeof SCSI_CONTROLLERS)[number]

export type DiskBus = 'ide' | 'sata' | 'scsi' | 'virtio' | 'efidisk'

/** The first network card. */
export interface MachineNetwork {
  readonly model: (typeof NETWORK_MODELS)[number]
  readonly mac: string | undefined
}

export interface MachineDisk {
  /** `scsi0`. */
  readonly name: string
  readonly bus: DiskBus
  readonly index: number
  readonly isSsd: boolean
  readonly discards: boolean
  /** Printable ASCII. */
  readonly serial: string | undefined
}

const SCSI_CONTROLLERS = ['lsi', 'lsi53c810', 'virtio-scsi-pci', 'virtio-scsi-single', 'megasas', 'pvscsi'] as const

const NETWORK_MODELS = ['virtio', 'e1000', 'e1000e', 'rtl8139', 'vmxnet3'] as const

/** Longest configuration that is looked at; real ones have a few KiB. */
export const MAX_CONFIG = 1024 * 1024

const DEFAULT_MEMORY = 512
const MAX_MEMORY = 16 * 1024 * 1024

/** What a machine without IOMMU can have. */
const MAX_CPUS = 240

/** Disks a bus can have: of ide 4, sata 6, scsi 31, virtio 16. */
const LAST_INDEX: Readonly<Record<DiskBus, number>> = { ide: 3, sata: 5, scsi: 30, virtio: 15, efidisk: 0 }

/** On which bus the disk that a machine starts from is, the likely one first. */
const GUESSED_ORDER: readonly DiskBus[] = ['scsi', 'virtio', 'sata', 'ide', 'efidisk']

const DISK = /^(ide|sata|scsi|virtio|efidisk)(0|[1-9]\d?)$/

/** A host name, as Proxmox VE demands it. */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9.-]{0,62}$/

const UUID = /(?:^|,)uuid=([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})(?:,|$)/

/** Longest serial number that every kind of disk takes. */
const SERIAL = /^[\x20-\x7e]{1,20}$/

/** Of the host, or for QEMU itself. */
const LEFT_OUT = /^(?:args|hookscript|(?:hostpci|usb|virtiofs)\d{1,2})$/

/** Reads a configuration. What does not concern starting the machine is passed over. FormatError when it is none. */
export function parseMachineConfig(bytes: Uint8Array, name: string): MachineConfig {
  if (bytes.length > MAX_CONFIG) throw new FormatError(`${name} is too long for the configuration of a machine`, { stream: name, actual: bytes.length, expected: MAX_CONFIG })
  const values = readValues(Buffer.from(bytes).toString('utf8'))
  const [sockets, cores] = [readCount(values.get('sockets'), 1, MAX_CPUS), readCount(values.get('cores'), 1, MAX_CPUS)]
  const given = values.get('name')
  return {
    name: given !== undefined && NAME.test(given) ? given : undefined,
    memory: readCount(values.get('memory')?.replace(/^current=/, ''), DEFAULT_MEMORY, MAX_MEMORY),
    sockets: sockets * cores > MAX_CPUS ? 1 : sockets,
    cores,
    firmware: values.get('bios') === 'ovmf' ? 'ovmf' : 'seabios',
    hasLargeVariables: /,efitype=4m(?:,|$)/.test(values.get('efidisk0') ?? ''),
    isQ35: /(?:^|[=-])q35/.test(values.get('machine') ?? ''),
    arch: values.get('arch') === 'aarch64' ? 'aarch64' : 'x86_64',
    scsiController: SCSI_CONTROLLERS.find((known) => known === values.get('scsihw')) ?? 'lsi',
    uuid: UUID.exec(values.get('smbios1') ?? '')?.[1],
    hasLocalClock: values.has('localtime') ? values.get('localtime') === '1' : /^w/.test(values.get('ostype') ?? ''),
    network: readNetwork(values),
    bootOrder: readBootOrder(values),
    disks: [...values].flatMap(([key, value]) => readDisk(key, value) ?? []),
    hasTpm: values.has('tpmstate0'),
    leftOut: [...values.keys()].filter((key) => LEFT_OUT.test(key)),
  }
}

/** The machine that the names of its images tell of, when its configuration is not in the backup. */
export function guessMachine(images: readonly string[]): MachineConfig {
  const disks = images.flatMap((image) => readDisk(image, 'x') ?? []).sort((a, b) => a.index - b.index || GUESSED_ORDER.indexOf(a.bus) - GUESSED_ORDER.indexOf(b.bus))
  const firmware = disks.some(({ bus }) => bus === 'efidisk') ? 'ovmf' : 'seabios'
  return {
    name: undefined, memory: 2048, sockets: 1, cores: 2, firmware, hasLargeVariables: true, isQ35: false, arch: 'x86_64', scsiController: 'virtio-scsi-pci',
    uuid: undefined, hasLocalClock: false, network: undefined, bootOrder: [], disks, hasTpm: false, leftOut: [],
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
  const serial = options.get('serial')?.replaceAll(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  return {
    name: key,
    bus,
    index,
    isSsd: options.get('ssd') === '1',
    discards: /^(?:on|unmap)$/.test(options.get('discard') ?? ''),
    serial: serial !== undefined && SERIAL.test(serial) ? serial : undefined,
  }
}

/** `virtio=AA:BB:CC:DD:EE:FF,bridge=vmbr0`, of the card with the lowest number. */
function readNetwork(values: ReadonlyMap<string, string>): MachineNetwork | undefined {
  const names = [...values.keys()].filter((key) => /^net\d{1,2}$/.test(key)).sort((a, b) => Number(a.slice(3)) - Number(b.slice(3)))
  const match = /^(?:model=)?([a-z0-9]+)(?:=([0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}))?(?:,|$)/.exec(values.get(names[0] ?? '') ?? '')
  const model = NETWORK_MODELS.find((known) => known === match?.[1])
  return model === undefined ? undefined : { model, mac: match?.[2] }
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
