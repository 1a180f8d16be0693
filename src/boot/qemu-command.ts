import { UsageError } from '../errors/errors.js'
import type { MachineConfig, MachineDisk } from './machine-config.js'

/** What the host has. */
export interface BootHost {
  readonly hasKvm: boolean
  /** UEFI firmware for a machine whose variables take so many bytes; undefined: none is installed. */
  readonly findFirmware: (variableBytes: number) => string | undefined
}

/** A disk that is served. */
export interface ServedDisk {
  /** As in the configuration: `scsi0`. */
  readonly name: string
  /** What QEMU opens. */
  readonly uri: string
  /** Bytes. */
  readonly size: number
}

export interface QemuCommand {
  readonly program: string
  readonly args: readonly string[]
  /** What is not as it was, for a person. */
  readonly remarks: readonly string[]
}

/** `-device` models of the controllers a configuration can name, and how many disks one takes. */
const SCSI_CONTROLLERS: Readonly<Record<string, { readonly model: string; readonly disks: number; readonly isVirtio: boolean }>> = {
  'virtio-scsi-pci': { model: 'virtio-scsi-pci', disks: 256, isVirtio: true },
  'virtio-scsi-single': { model: 'virtio-scsi-pci', disks: 1, isVirtio: true },
  lsi: { model: 'lsi53c895a', disks: 7, isVirtio: false },
  lsi53c810: { model: 'lsi53c810', disks: 7, isVirtio: false },
  megasas: { model: 'megasas', disks: 16, isVirtio: false },
  pvscsi: { model: 'pvscsi', disks: 16, isVirtio: false },
}

/**
 * The line that starts a machine from the disks of its backup, with the buses and the order of its configuration.
 * Without a network, unless one is asked for. UsageError when this host lacks what the machine needs.
 */
export function buildQemuCommand(machine: MachineConfig, disks: readonly ServedDisk[], host: BootHost, network: boolean): QemuCommand {
  if (machine.arch === 'aarch64' && machine.firmware !== 'ovmf') throw new UsageError('this ARM machine has no UEFI firmware in its configuration, and cannot be started without')
  const served = new Map(disks.map((disk) => [disk.name, disk]))
  const remarks: string[] = []
  const args = [
    '-name', escapeValue(`${machine.name ?? 'backup'} (from the backup)`),
    '-machine', machine.arch === 'aarch64' ? 'virt' : machine.isQ35 ? 'q35' : 'pc',
    '-accel', host.hasKvm ? 'kvm' : 'tcg',
    '-cpu', host.hasKvm ? 'host' : 'max',
    '-smp', `${machine.sockets * machine.cores},sockets=${machine.sockets},cores=${machine.cores}`,
    '-m', String(machine.memory),
    ...(machine.uuid === undefined ? [] : ['-uuid', machine.uuid]),
    ...(network ? ['-nic', 'user,model=virtio-net-pci'] : ['-nic', 'none']),
  ] // prettier-ignore
  if (!host.hasKvm) remarks.push('there is no /dev/kvm: the processor is emulated, which is slow')
  args.push(...firmwareArgs(machine, served.get('efidisk0'), host))
  const configured = machine.disks.filter(({ bus }) => bus !== 'efidisk')
  const known = configured.filter(({ name }) => served.has(name))
  for (const { name } of configured) if (!served.has(name)) remarks.push(`${name} is not in the backup`)
  const order = bootOrder(machine, known)
  const controllers = new Set<string>()
  for (const disk of known) args.push(...diskArgs(machine, disk, served.get(disk.name)!, order.indexOf(disk.name), controllers))
  for (const { name, uri } of disks) {
    if (name === 'efidisk0' || /^tpmstate/.test(name) || configured.some((disk) => disk.name === name)) continue
    remarks.push(`${name} is in the backup, but not in the configuration: it is a virtio disk here`)
    args.push('-drive', driveOf(name, uri, false), '-device', `virtio-blk-pci,drive=drive-${name}`)
  }
  if (machine.hasTpm) remarks.push('the machine has a TPM, which is left out: what is sealed with it asks for its recovery key')
  return { program: `qemu-system-${machine.arch}`, args, remarks }
}

function firmwareArgs(machine: MachineConfig, variables: ServedDisk | undefined, host: BootHost): string[] {
  if (machine.firmware !== 'ovmf') return []
  const code = host.findFirmware(variables?.size ?? 0)
  if (code === undefined) {
    throw new UsageError('the machine starts with UEFI, for which no firmware is installed here', {
      remedy: machine.arch === 'aarch64' ? 'Install it: apt-get install qemu-efi-aarch64' : 'Install it: apt-get install ovmf',
    })
  }
  const args = ['-drive', `if=pflash,unit=0,format=raw,readonly=on,file=${escapeValue(code)}`]
  if (variables !== undefined) args.push('-drive', `if=pflash,unit=1,format=raw,file=${escapeValue(variables.uri)}`)
  return args
}

/** What the configuration says, or else the first disk. */
function bootOrder({ bootOrder: order }: MachineConfig, disks: readonly MachineDisk[]): string[] {
  const wanted = order.filter((name) => disks.some((disk) => disk.name === name))
  return wanted.length > 0 ? wanted : disks.slice(0, 1).map(({ name }) => name)
}

function diskArgs(machine: MachineConfig, disk: MachineDisk, { uri }: ServedDisk, bootIndex: number, controllers: Set<string>): string[] {
  const { name, bus, index, isSsd, serial, discards } = disk
  const options = [
    `drive=drive-${name}`,
    ...(bootIndex < 0 ? [] : [`bootindex=${bootIndex + 1}`]),
    ...(isSsd && bus !== 'virtio' ? ['rotation_rate=1'] : []),
    ...(serial === undefined ? [] : [`serial=${escapeValue(serial)}`]),
  ]
  const drive = ['-drive', driveOf(name, uri, discards)]
  const controller = (id: string, model: string): string[] => {
    if (controllers.has(id)) return []
    controllers.add(id)
    return ['-device', `${model},id=${id}`]
  }
  switch (bus) {
    case 'virtio':
      return [...drive, '-device', ['virtio-blk-pci', ...options].join(',')]
    case 'sata':
      return [...controller('ahci0', 'ahci'), ...drive, '-device', ['ide-hd', `bus=ahci0.${index}`, ...options].join(',')]
    case 'ide': {
      const place = machine.isQ35 ? [`bus=ide.${index}`] : [`bus=ide.${index >> 1}`, `unit=${index & 1}`]
      return [...drive, '-device', ['ide-hd', ...place, ...options].join(',')]
    }
    case 'scsi':
    case 'efidisk': {
      const known = SCSI_CONTROLLERS[machine.scsiController] ?? SCSI_CONTROLLERS['virtio-scsi-pci']!
      const id = `scsihw${Math.floor(index / known.disks)}`
      const inside = index % known.disks
      const place = known.isVirtio ? [`bus=${id}.0`, 'channel=0', 'scsi-id=0', `lun=${inside}`] : [`bus=${id}.0`, `scsi-id=${inside}`]
      return [...controller(id, known.model), ...drive, '-device', ['scsi-hd', ...place, ...options].join(',')]
    }
  }
}

function driveOf(name: string, uri: string, discards: boolean): string {
  return `file=${escapeValue(uri)},format=raw,if=none,id=drive-${name}${discards ? ',discard=unmap,detect-zeroes=unmap' : ''}`
}

/** In a value of QEMU a comma is doubled. */
function escapeValue(text: string): string {
  return text.replaceAll(',', ',,')
}
