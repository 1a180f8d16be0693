import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { LARGE_VARIABLES, SMALL_VARIABLES } from '#src/boot/firmware.js'
import { guessMachine, parseMachineConfig } from '#src/boot/machine-config.js'
import { buildQemuCommand, type BootHost, type BootWishes, type ServedDisk } from '#src/boot/qemu-command.js'
import { describeWith } from '../support/needs.js'

const host: BootHost = { hasKvm: true, freeMemory: 16384, screen: { socket: '/run/v,nc' }, findFirmware: (_arch, bytes) => `/fw/${bytes}` }
const uriOf = (name: string) => `nbd+unix:///drive-${name}?socket=/run/s`
const served = (...names: string[]): ServedDisk[] => names.map((name) => ({ name, uri: uriOf(name), size: 1 << 30 }))

interface Changes {
  readonly host?: Partial<BootHost>
  readonly wishes?: Partial<BootWishes>
}

function build(config: string, disks: readonly (string | ServedDisk)[], { host: changes = {}, wishes = {} }: Changes = {}) {
  const all = disks.flatMap((disk) => (typeof disk === 'string' ? served(disk) : [disk]))
  const { program, args, remarks } = buildQemuCommand(parseMachineConfig(Buffer.from(config), 'c'), all, { ...host, ...changes }, { network: false, ...wishes })
  const values: Record<string, string[]> = {}
  for (let i = 0; i < args.length; i += 2) (values[args[i]!] ??= []).push(args[i + 1]!)
  const devices = (values['-device'] ?? []).filter((device) => !/^(?:qemu-xhci|usb-tablet)/.test(device))
  return { program, args, values, devices, remarks }
}

test('buses, boot order, memory and processors of the configuration; no network; the screen on a socket', () => {
  const config = 'boot: order=virtio1;scsi0\nscsihw: virtio-scsi-pci\nscsi0: a:b\nscsi2: a:c,ssd=1,discard=on\nvirtio1: a:d,serial=x%2Cy\nmemory: 3000\ncores: 2\nsockets: 2\nname: web.1\nostype: win11\n'
  const { program, values, devices, remarks } = build(config, ['scsi0', 'scsi2', 'virtio1'])
  expect(program).toBe('qemu-system-x86_64')
  expect(devices).toEqual([
    'virtio-scsi-pci,id=scsihw0',
    'scsi-hd,bus=scsihw0.0,channel=0,scsi-id=0,lun=0,drive=drive-scsi0,bootindex=2',
    'scsi-hd,bus=scsihw0.0,channel=0,scsi-id=0,lun=2,drive=drive-scsi2,rotation_rate=1',
    'virtio-blk-pci,drive=drive-virtio1,bootindex=1,serial=x,,y',
  ])
  expect(values['-drive']!.slice(0, 2)).toEqual([
    `file=${uriOf('scsi0')},format=raw,if=none,id=drive-scsi0`,
    `file=${uriOf('scsi2')},format=raw,if=none,id=drive-scsi2,discard=unmap,detect-zeroes=unmap`,
  ])
  expect(values).toMatchObject({
    '-nic': ['none'], '-m': ['3000'], '-smp': ['4,sockets=2,cores=2'], '-accel': ['kvm', 'tcg'], '-machine': ['pc'], '-name': ['guest=web.1 (from the backup)'],
    '-display': ['none'], '-vnc': ['unix:/run/v,,nc'], '-serial': ['mon:stdio'], '-rtc': ['base=localtime'],
  }) // prettier-ignore
  expect(remarks).toEqual([])
})

test('other buses and controllers', () => {
  expect(build('scsi8: a:b\n', ['scsi8']).devices).toEqual(['lsi53c895a,id=scsihw1', 'scsi-hd,bus=scsihw1.0,scsi-id=1,drive=drive-scsi8,bootindex=1'])
  expect(build('scsihw: constructor\nscsi0: a:b\n', ['scsi0']).devices[0]).toBe('lsi53c895a,id=scsihw0')
  expect(build('scsihw: virtio-scsi-single\nscsi0: a:b\nscsi1: a:c\n', ['scsi0', 'scsi1']).devices.filter((device) => device.startsWith('virtio'))).toEqual(['virtio-scsi-pci,id=scsihw0', 'virtio-scsi-pci,id=scsihw1'])
  expect(build('sata2: a:b\n', ['sata2']).devices).toEqual(['ahci,id=ahci0', 'ide-hd,bus=ahci0.2,drive=drive-sata2,bootindex=1'])
  expect(build('ide3: a:b\n', ['ide3']).devices).toEqual(['ide-hd,bus=ide.1,unit=1,drive=drive-ide3,bootindex=1'])
  expect(build('machine: q35\nide3: a:b\n', ['ide3'])).toMatchObject({ devices: ['ide-hd,bus=ide.3,drive=drive-ide3,bootindex=1'], values: { '-machine': ['q35'] } })
})

test('controllers for single disks fit on the bus, or all disks are on one', () => {
  const names = Array.from({ length: 31 }, (_, i) => `scsi${i}`)
  const { devices } = build(`scsihw: virtio-scsi-single\n${names.map((name) => `${name}: a:b\n`).join('')}`, names)
  expect(devices.filter((device) => device.startsWith('virtio'))).toEqual(['virtio-scsi-pci,id=scsihw0'])
  expect(devices.at(-1)).toContain('bus=scsihw0.0,channel=0,scsi-id=0,lun=30,')
})

describe('UEFI', () => {
  const config = 'bios: ovmf\nefidisk0: a:e,efitype=4m\nscsi0: a:b\n'
  const efi = (size: number): ServedDisk => ({ name: 'efidisk0', uri: uriOf('efidisk0'), size })
  const code = (bytes: number) => `if=pflash,unit=0,format=raw,readonly=on,file=/fw/${bytes}`
  const variables = `if=pflash,unit=1,format=raw,file=${uriOf('efidisk0')}`

  it('firmware of this host and the variables of the backup', () => {
    expect(build(config, [efi(LARGE_VARIABLES), 'scsi0']).values['-drive']!.slice(0, 2)).toEqual([code(LARGE_VARIABLES), variables])
    expect(build(config, [efi(SMALL_VARIABLES), 'scsi0']).values['-drive']!.slice(0, 2)).toEqual([code(SMALL_VARIABLES), variables])
  })

  it('of a volume that is larger than them only their part is used', () => {
    expect(build(config, [efi(4 << 20)]).values['-drive']).toEqual([code(LARGE_VARIABLES), `${variables},size=${LARGE_VARIABLES}`])
    expect(build('bios: ovmf\nefidisk0: a:e\n', [efi(4 << 20)]).values['-drive']).toEqual([code(SMALL_VARIABLES), `${variables},size=${SMALL_VARIABLES}`])
  })

  it('without variables, or firmware for them, it starts from the usual place and says so', () => {
    const usual = 'the machine starts without them, from the boot loader at its usual place (EFI/BOOT)'
    expect(build(config, ['scsi0'])).toMatchObject({ remarks: [`efidisk0 is not in the backup: ${usual}`], values: { '-drive': [code(LARGE_VARIABLES), expect.stringContaining('scsi0')] } })
    expect(build(config, [efi(1), 'scsi0']).remarks).toEqual([`efidisk0 is too small for UEFI variables: ${usual}`])
    const findFirmware = (_arch: string, bytes: number) => (bytes === LARGE_VARIABLES ? '/large' : undefined)
    expect(build(config, [efi(SMALL_VARIABLES), 'scsi0'], { host: { findFirmware } })).toMatchObject({
      remarks: [`the firmware of this host does not take UEFI variables of 131072 bytes: ${usual}`],
      values: { '-drive': ['if=pflash,unit=0,format=raw,readonly=on,file=/large', expect.any(String)] },
    })
  })

  it('no firmware at all: what to install', () => {
    expect(() => build(config, [efi(LARGE_VARIABLES)], { host: { findFirmware: () => undefined } })).toThrow(/no firmware is installed/)
  })
})

test('what is not as it was is said', () => {
  const config = 'scsi0: a:b\nscsi1: a:c,backup=0\ntpmstate0: a:t\nargs: -x\nhostpci0: 01:00\nmemory: 64000\n'
  const { remarks, values, devices } = build(config, ['scsi0', 'virtio7', 'own.img'], { host: { hasKvm: false }, wishes: { network: true } })
  expect(remarks).toEqual([
    '/dev/kvm cannot be used here: the processor is emulated, which is slow',
    'the machine gets 64000 MiB of memory, this host has 16384 MiB left: --memory 2G gives it less',
    'left out of the configuration: args, hostpci0',
    'the machine has a TPM, which is left out: what is sealed with it asks for its recovery key',
    'scsi1 is not in the backup',
    'virtio7 is in the backup, but not in the configuration: it is a virtio disk here',
    'own.img is in the backup, but not in the configuration: it is a virtio disk here',
  ])
  expect(values).toMatchObject({ '-nic': ['user,model=virtio-net-pci'], '-accel': ['tcg'] })
  expect(devices.slice(-2)).toEqual(['virtio-blk-pci,drive=drive-other0', 'virtio-blk-pci,drive=drive-other1'])
})

test('what is wished: memory, a network card as it was, a window', () => {
  const { values } = build('net1: e1000=AA:BB:CC:DD:EE:FF,bridge=x\nmemory: 64000\n', [], { wishes: { memory: 2048, network: true }, host: { screen: { window: 'gtk' } } })
  expect(values).toMatchObject({ '-m': ['2048'], '-nic': ['user,model=e1000,mac=AA:BB:CC:DD:EE:FF'], '-display': ['gtk'] })
  expect(values['-vnc']).toBeUndefined()
})

test('further arguments stand last; their options take the place of ours, but for disks and devices', () => {
  const { args, values } = build('scsi0: a:b\n', ['scsi0'], { wishes: { extra: ['-accel', 'tcg', '--display', 'curses', '-m', '1G', '-device', 'x'] } })
  expect(args.slice(-8)).toEqual(['-accel', 'tcg', '--display', 'curses', '-m', '1G', '-device', 'x'])
  expect(values).toMatchObject({ '-accel': ['tcg'], '-m': ['1G'] })
  expect([values['-display'], values['-vnc'], values['-device']!.length]).toEqual([undefined, undefined, 5])
})

const BUSES: readonly (readonly [config: string, disks: readonly string[]])[] = [
  ['scsihw: lsi', ['scsi0', 'scsi8']],
  ['scsihw: lsi53c810', ['scsi0', 'scsi6']],
  ['scsihw: megasas', ['scsi0', 'scsi20']],
  ['scsihw: pvscsi', ['scsi0', 'scsi20']],
  ['scsihw: virtio-scsi-pci', ['scsi0', 'scsi30']],
  ['scsihw: virtio-scsi-single', Array.from({ length: 12 }, (_, i) => `scsi${i}`)],
  ['machine: q35', ['ide0', 'ide3', 'sata0', 'sata5', 'virtio0', 'virtio15', 'own.img']],
  ['machine: pc', ['ide0', 'ide3', 'sata0', 'sata5', 'virtio0', 'virtio15', 'own.img']],
]

describeWith({ programs: { 'qemu-system-x86_64': 'qemu-system-x86' } }, 'QEMU', () => {
  it.each(BUSES)('takes the line: %s', async (config, names) => {
    const lines = names.map((name) => `${name}: a:b,serial=a%2Cb,ssd=1,discard=on\n`).join('')
    const text = `${config}\n${lines}cores: 2\nsockets: 2\nname: web\nostype: win10\nnet0: e1000=52:54:00:00:00:01\nsmbios1: uuid=12345678-1234-1234-1234-123456789abc\nmemory: 64\n`
    const disks = names.map((name) => ({ name, uri: 'null-co://', size: 1 << 30 }))
    // Stopped before it begins, it only waits to be told to end.
    const extra = ['-accel', 'tcg', '-display', 'none', '-serial', 'none', '-monitor', 'stdio', '-S']
    const { program, args } = buildQemuCommand(parseMachineConfig(Buffer.from(text), 'c'), disks, host, { network: true, extra })
    const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'pipe'] })
    let err = ''
    child.stderr.on('data', (bytes: Buffer) => (err += bytes.toString()))
    child.stdin.on('error', () => undefined)
    child.stdin.end('quit\n')
    await once(child, 'close')
    expect([child.exitCode, err]).toEqual([0, ''])
  })
})

describe('a configuration is only values', () => {
  const keys = ['name', 'memory', 'sockets', 'cores', 'bios', 'machine', 'arch', 'scsihw', 'smbios1', 'ostype', 'boot', 'bootdisk', 'net0', 'scsi0', 'scsi31', 'virtio1', 'sata5', 'ide2', 'efidisk0', 'args', 'hostpci0']
  const evil = fc.constantFrom(',', ',,', '=', '\0', '\r', '\x1b[2J', '-', ' ', ';', '/', '%2C', '%00', '%0a', 'serial=', 'uuid=', 'order=', 'virtio=', 'file=/etc/shadow', '-drive', 'q35', 'ovmf', 'aarch64', 'lsi', '__proto__', 'x', '7', '\ud800', 'é')
  const value = fc.array(fc.oneof(evil, fc.string({ maxLength: 4 })), { maxLength: 8 }).map((parts) => parts.join(''))
  const config = fc.array(fc.tuple(fc.constantFrom(...keys), value), { maxLength: 20 }).map((lines) => lines.map(([key, text]) => `${key}: ${text}\n`).join(''))
  /** Each argument as we build it: anything else came from the configuration. */
  const known: Readonly<Record<string, RegExp>> = {
    '-name': /^guest=[a-zA-Z0-9][a-zA-Z0-9.-]{0,62} \(from the backup\)$/,
    '-machine': /^(?:pc|q35|virt)$/,
    '-accel': /^(?:kvm|tcg)$/,
    '-cpu': /^max$/,
    '-smp': /^\d+,sockets=\d+,cores=\d+$/,
    '-m': /^\d+$/,
    '-uuid': /^[0-9a-fA-F-]{36}$/,
    '-rtc': /^base=localtime$/,
    '-nic': /^user,model=[a-z0-9-]+(?:,mac=[0-9A-Fa-f:]{17})?$/,
    '-display': /^none$/,
    '-vnc': /^unix:\/run\/v,,nc$/,
    '-serial': /^mon:stdio$/,
    '-device': /^[a-z0-9-]+(?:,(?:id|bus|unit|channel|scsi-id|lun|drive|bootindex|rotation_rate)=[a-z0-9.-]+)*(?:,serial=(?:[\x20-\x2b\x2d-\x7e]|,,){1,20})?$/,
    '-drive': /^(?:if=pflash,unit=0,format=raw,readonly=on,file=\/fw\/\d+|if=pflash,unit=1,format=raw,file=nbd\+unix:\/\/\/drive-efidisk0\?socket=\/run\/s(?:,size=\d+)?|file=nbd\+unix:\/\/\/drive-[a-z]+\d+\?socket=\/run\/s,format=raw,if=none,id=drive-[a-z]+\d+(?:,discard=unmap,detect-zeroes=unmap)?)$/,
  }

  it('whatever it says, the line has nothing but what is built here', () => {
    fc.assert(
      fc.property(config, (text) => {
        const machine = parseMachineConfig(Buffer.from(text), 'c')
        if (machine.arch === 'aarch64' && machine.firmware !== 'ovmf') return
        const { program, args } = buildQemuCommand(machine, served('scsi0', 'virtio1', 'sata5', 'ide2', 'efidisk0'), host, { network: true })
        expect(program).toMatch(/^qemu-system-(?:x86_64|aarch64)$/)
        expect(args.length % 2).toBe(0)
        for (let i = 0; i < args.length; i += 2) {
          expect(known).toHaveProperty(args[i]!)
          expect(args[i + 1]).toMatch(known[args[i]!]!)
        }
      }),
      { numRuns: 1000 },
    )
  })

  it('a guessed machine is built of names alone', () => {
    const { args } = buildQemuCommand(guessMachine(['scsi1', 'virtio0', 'scsi0', 'a,b.img']), served('scsi1', 'virtio0', 'scsi0', 'a,b.img'), host, { network: false })
    expect(args.filter((arg) => arg.includes('bootindex'))).toEqual(['scsi-hd,bus=scsihw0.0,channel=0,scsi-id=0,lun=0,drive=drive-scsi0,bootindex=1'])
    expect(args.at(-1)).toBe('virtio-blk-pci,drive=drive-other0')
  })
})
