import { UsageError } from '../errors/errors.js'
import { ARM_VARIABLES, FIRMWARE_PACKAGE, LARGE_VARIABLES, SMALL_VARIABLES } from './firmware.js'
import type { MachineArch, MachineConfig, MachineDisk, MachineNetwork, ScsiController } from './machine-config.js'

/** What the host has. */
export interface BootHost {
  readonly hasKvm: boolean
  /** MiB that can be had at the moment. */
  readonly freeMemory: number
  readonly screen: Screen
  /** UEFI firmware for a machine whose variables take so many bytes; undefined: none is installed. */
  readonly findFirmware: (arch: MachineArch, variableBytes: number) => string | undefined
}

/** A window of this kind of QEMU's, or VNC on a socket. */
export type Screen = { readonly window: string } | { readonly socket: string }

/** What is wanted beside the configuration. */
export interface BootWishes {
  readonly network: boolean
  /** MiB. */
  readonly memory?: number | undefined
  /** Further arguments for QEMU. An option among them takes the place of ours, but for disks and devices. */
  readonly extra?: readonly string[]
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

/** An option with its value. */
type Option = readonly [name: string, value: string]

/** `-device` models of the controllers a configuration can name, and how many disks one takes. */
const CONTROLLERS: Readonly<Record<ScsiController, { readonly model: string; readonly disks: number; readonly isVirtio: boolean }>> = {
  'virtio-scsi-pci': { model: 'virtio-scsi-pci', disks: 256, isVirtio: true },
  'virtio-scsi-single': { model: 'virtio-scsi-pci', disks: 1, isVirtio: true },
  lsi: { model: 'lsi53c895a', disks: 7, isVirtio: false },
  lsi53c810: { model: 'lsi53c810', disks: 7, isVirtio: false },
  megasas: { model: 'megasas', disks: 16, isVirtio: false },
  pvscsi: { model: 'pvscsi', disks: 16, isVirtio: false },
}

/** More controllers than this do not fit on the bus beside the rest. */
const MAX_SINGLE_CONTROLLERS = 12

const NETWORK_DEVICES: Readonly<Record<MachineNetwork['model'], string>> = {
  virtio: 'virtio-net-pci', e1000: 'e1000', e1000e: 'e1000e', rtl8139: 'rtl8139', vmxnet3: 'vmxnet3',
} // prettier-ignore

/** Options that there can be several of: what is given beside ours adds to them. */
const REPEATED = new Set(['-drive', '-device'])

/** Whoever gives one of these wants no other screen. */
const SCREEN_OPTIONS = ['-display', '-vnc', '-nographic', '-curses', '-spice']

/**
 * The line that starts a machine from the disks of its backup, with the buses and the order of its configuration.
 * Without a network, unless one is asked for. UsageError when this host lacks what the machine needs.
 */
export function buildQemuCommand(machine: MachineConfig, disks: readonly ServedDisk[], host: BootHost, wishes: BootWishes): QemuCommand {
  if (machine.arch === 'aarch64' && machine.firmware !== 'ovmf') throw new UsageError('this ARM machine has no UEFI firmware in its configuration, and cannot be started without')
  const remarks: string[] = []
  const memory = wishes.memory ?? machine.memory
  if (!host.hasKvm) remarks.push('/dev/kvm cannot be used here: the processor is emulated, which is slow')
  if (memory > host.freeMemory) remarks.push(`the machine gets ${memory} MiB of memory, this host has ${host.freeMemory} MiB left: --memory 2G gives it less`)
  if (machine.leftOut.length > 0) remarks.push(`left out of the configuration: ${machine.leftOut.join(', ')}`)
  if (machine.hasTpm) remarks.push('the machine has a TPM, which is left out: what is sealed with it asks for its recovery key')
  const options: Option[] = [
    ['-name', `guest=${machine.name ?? 'backup'} (from the backup)`],
    ['-machine', machine.arch === 'aarch64' ? 'virt' : machine.isQ35 ? 'q35' : 'pc'],
    // The second one is for a host whose /dev/kvm does not work after all.
    ...(host.hasKvm ? ([['-accel', 'kvm']] as const) : []),
    ['-accel', 'tcg'],
    ['-cpu', 'max'],
    ['-smp', `${machine.sockets * machine.cores},sockets=${machine.sockets},cores=${machine.cores}`],
    ['-m', String(memory)],
    ...(machine.uuid === undefined ? [] : ([['-uuid', machine.uuid]] as const)),
    ...(machine.hasLocalClock ? ([['-rtc', 'base=localtime']] as const) : []),
    ['-nic', wishes.network ? networkOf(machine.network) : 'none'],
    ...screenOptions(host.screen),
    ['-serial', 'mon:stdio'],
    ...inputDevices(machine.arch),
    ...firmwareOptions(machine, disks.find(({ name }) => name === 'efidisk0'), host, remarks),
    ...diskOptions(machine, disks, remarks),
  ] // prettier-ignore
  const extra = wishes.extra ?? []
  const replaced = new Set(extra.filter((arg) => arg.startsWith('-')).map((arg) => arg.replace(/^--/, '-')))
  if (SCREEN_OPTIONS.some((option) => replaced.has(option))) for (const option of SCREEN_OPTIONS) replaced.add(option)
  const own = options.filter(([name]) => REPEATED.has(name) || !replaced.has(name))
  return { program: `qemu-system-${machine.arch}`, args: [...own.flat(), ...extra], remarks }
}

function networkOf(network: MachineNetwork | undefined): string {
  const { model, mac } = network ?? { model: 'virtio', mac: undefined }
  return `user,model=${NETWORK_DEVICES[model]}${mac === undefined ? '' : `,mac=${mac}`}`
}

function screenOptions(screen: Screen): Option[] {
  if ('window' in screen) return [['-display', screen.window]]
  return [['-display', 'none'], ['-vnc', `unix:${escapeValue(screen.socket)}`]] // prettier-ignore
}

/** What makes a screen usable from afar: without a tablet the pointer is not where one points. */
function inputDevices(arch: MachineArch): Option[] {
  const devices = arch === 'aarch64' ? ['virtio-gpu-pci', 'qemu-xhci,id=usb', 'usb-kbd', 'usb-tablet'] : ['qemu-xhci,id=usb', 'usb-tablet']
  return devices.map((device) => ['-device', device])
}

function firmwareOptions({ firmware, arch, hasLargeVariables }: MachineConfig, variables: ServedDisk | undefined, host: BootHost, remarks: string[]): Option[] {
  if (firmware !== 'ovmf') return []
  const code = (path: string): Option => ['-drive', `if=pflash,unit=0,format=raw,readonly=on,file=${escapeValue(path)}`]
  const wanted = variableBytes(arch, variables?.size, hasLargeVariables)
  const fitting = host.findFirmware(arch, wanted)
  if (fitting !== undefined && variables !== undefined && variables.size >= wanted) {
    // A volume that holds them may be larger, which the firmware does not expect.
    const size = variables.size === wanted ? '' : `,size=${wanted}`
    return [code(fitting), ['-drive', `if=pflash,unit=1,format=raw,file=${escapeValue(variables.uri)}${size}`]]
  }
  const any = fitting ?? [LARGE_VARIABLES, SMALL_VARIABLES, ARM_VARIABLES].map((bytes) => host.findFirmware(arch, bytes)).find((path) => path !== undefined)
  if (any === undefined) {
    throw new UsageError('the machine starts with UEFI, for which no firmware is installed here', { remedy: `Install it: apt-get install ${FIRMWARE_PACKAGE[arch]}` })
  }
  const why = variables === undefined ? 'efidisk0 is not in the backup' : fitting === undefined ? `the firmware of this host does not take UEFI variables of ${wanted} bytes` : 'efidisk0 is too small for UEFI variables'
  remarks.push(`${why}: the machine starts without them, from the boot loader at its usual place (EFI/BOOT)`)
  return [code(any)]
}

function variableBytes(arch: MachineArch, diskBytes: number | undefined, isLarge: boolean): number {
  if (arch === 'aarch64') return ARM_VARIABLES
  if (diskBytes === SMALL_VARIABLES || diskBytes === LARGE_VARIABLES) return diskBytes
  return isLarge ? LARGE_VARIABLES : SMALL_VARIABLES
}

function diskOptions(machine: MachineConfig, disks: readonly ServedDisk[], remarks: string[]): Option[] {
  const served = new Map(disks.map((disk) => [disk.name, disk]))
  const configured = machine.disks.filter(({ bus }) => bus !== 'efidisk')
  const known = configured.filter(({ name }) => served.has(name))
  for (const { name } of configured) if (!served.has(name)) remarks.push(`${name} is not in the backup`)
  const order = bootOrder(machine, known)
  const controllers = new Set<string>()
  const options = known.flatMap((disk) => disksOn(machine, disk, served.get(disk.name)!, order.indexOf(disk.name), controllers))
  const others = disks.filter(({ name }) => name !== 'efidisk0' && !configured.some((disk) => disk.name === name))
  for (const [i, { name, uri }] of others.entries()) {
    remarks.push(`${name} is in the backup, but not in the configuration: it is a virtio disk here`)
    options.push(['-drive', driveOf(`other${i}`, uri, false)], ['-device', `virtio-blk-pci,drive=drive-other${i}`])
  }
  return options
}

/** What the configuration says, or else the first disk. */
function bootOrder({ bootOrder: order }: MachineConfig, disks: readonly MachineDisk[]): string[] {
  const wanted = order.filter((name) => disks.some((disk) => disk.name === name))
  return wanted.length > 0 ? wanted : disks.slice(0, 1).map(({ name }) => name)
}

/** A disk, behind its controller if that is not there yet. */
function disksOn(machine: MachineConfig, disk: MachineDisk, { uri }: ServedDisk, bootIndex: number, controllers: Set<string>): Option[] {
  const { name, bus, index, isSsd, serial, discards } = disk
  const options = [
    `drive=drive-${name}`,
    ...(bootIndex < 0 ? [] : [`bootindex=${bootIndex + 1}`]),
    ...(isSsd && bus !== 'virtio' ? ['rotation_rate=1'] : []),
    ...(serial === undefined ? [] : [`serial=${escapeValue(serial)}`]),
  ]
  const drive: Option = ['-drive', driveOf(name, uri, discards)]
  const device = (model: string, ...place: string[]): Option => ['-device', [model, ...place, ...options].join(',')]
  const controller = (id: string, model: string): Option[] => {
    if (controllers.has(id)) return []
    controllers.add(id)
    return [['-device', `${model},id=${id}`]]
  }
  switch (bus) {
    case 'virtio':
      return [drive, device('virtio-blk-pci')]
    case 'sata':
      return [...controller('ahci0', 'ahci'), drive, device('ide-hd', `bus=ahci0.${index}`)]
    case 'ide':
      return [drive, machine.isQ35 ? device('ide-hd', `bus=ide.${index}`) : device('ide-hd', `bus=ide.${index >> 1}`, `unit=${index & 1}`)]
    case 'scsi':
    case 'efidisk': {
      const { model, disks, isVirtio } = CONTROLLERS[controllerOf(machine)]
      const id = `scsihw${Math.floor(index / disks)}`
      const inside = index % disks
      const place = isVirtio ? [`bus=${id}.0`, 'channel=0', 'scsi-id=0', `lun=${inside}`] : [`bus=${id}.0`, `scsi-id=${inside}`]
      return [...controller(id, model), drive, device('scsi-hd', ...place)]
    }
  }
}

function controllerOf({ scsiController, disks }: MachineConfig): ScsiController {
  const isTooMany = scsiController === 'virtio-scsi-single' && disks.filter(({ bus }) => bus === 'scsi').length > MAX_SINGLE_CONTROLLERS
  return isTooMany ? 'virtio-scsi-pci' : scsiController
}

function driveOf(name: string, uri: string, discards: boolean): string {
  return `file=${escapeValue(uri)},format=raw,if=none,id=drive-${name}${discards ? ',discard=unmap,detect-zeroes=unmap' : ''}`
}

/** In a value of QEMU a comma is doubled. */
function escapeValue(text: string): string {
  return text.replaceAll(',', ',,')
}
