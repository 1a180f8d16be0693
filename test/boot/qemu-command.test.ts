import { expect, test } from 'vitest'
import { parseMachineConfig } from '#src/boot/machine-config.js'
import { buildQemuCommand, type BootHost } from '#src/boot/qemu-command.js'

const host: BootHost = { hasKvm: true, findFirmware: () => '/usr/share/OVMF/OVMF_CODE_4M.fd' }
const served = (...names: string[]) => names.map((name) => ({ name, uri: `nbd+unix:///drive-${name}?socket=/run/s`, size: 1 << 30 }))

function build(config: string, disks: readonly string[], changes: Partial<BootHost> = {}, network = false) {
  const { program, args, remarks } = buildQemuCommand(parseMachineConfig(Buffer.from(config), 'c'), served(...disks), { ...host, ...changes }, network)
  const values: Record<string, string[]> = {}
  for (let i = 0; i < args.length; i += 2) (values[args[i]!] ??= []).push(args[i + 1]!)
  return { program, values, remarks }
}

test('buses, boot order, memory and processors of the configuration; no network', () => {
  const { program, values, remarks } = build('boot: order=virtio1;scsi0\nscsihw: virtio-scsi-pci\nscsi0: a:b\nscsi2: a:c,ssd=1\nvirtio1: a:d,serial=x\nmemory: 3000\ncores: 2\nsockets: 2\nname: a,b\n', ['scsi0', 'scsi2', 'virtio1'])
  expect(program).toBe('qemu-system-x86_64')
  expect(values['-device']).toEqual([
    'virtio-scsi-pci,id=scsihw0',
    'scsi-hd,bus=scsihw0.0,channel=0,scsi-id=0,lun=0,drive=drive-scsi0,bootindex=2',
    'scsi-hd,bus=scsihw0.0,channel=0,scsi-id=0,lun=2,drive=drive-scsi2,rotation_rate=1',
    'virtio-blk-pci,drive=drive-virtio1,bootindex=1,serial=x',
  ])
  expect(values['-drive']![0]).toBe('file=nbd+unix:///drive-scsi0?socket=/run/s,format=raw,if=none,id=drive-scsi0')
  expect(values).toMatchObject({ '-nic': ['none'], '-m': ['3000'], '-smp': ['4,sockets=2,cores=2'], '-accel': ['kvm'], '-machine': ['pc'], '-name': ['a,,b (from the backup)'] })
  expect(remarks).toEqual([])
})

test('other buses and controllers', () => {
  expect(build('scsi8: a:b\n', ['scsi8']).values['-device']).toEqual(['lsi53c895a,id=scsihw1', 'scsi-hd,bus=scsihw1.0,scsi-id=1,drive=drive-scsi8,bootindex=1'])
  expect(build('scsihw: virtio-scsi-single\nscsi0: a:b\nscsi1: a:c\n', ['scsi0', 'scsi1']).values['-device']!.filter((device) => device.startsWith('virtio'))).toEqual(['virtio-scsi-pci,id=scsihw0', 'virtio-scsi-pci,id=scsihw1'])
  expect(build('sata2: a:b\n', ['sata2']).values['-device']).toEqual(['ahci,id=ahci0', 'ide-hd,bus=ahci0.2,drive=drive-sata2,bootindex=1'])
  expect(build('ide3: a:b\n', ['ide3']).values['-device']).toEqual(['ide-hd,bus=ide.1,unit=1,drive=drive-ide3,bootindex=1'])
  expect(build('machine: q35\nide3: a:b\n', ['ide3']).values).toMatchObject({ '-device': ['ide-hd,bus=ide.3,drive=drive-ide3,bootindex=1'], '-machine': ['q35'] })
})

test('UEFI: firmware of this host and the variables of the backup; without firmware it says what to install', () => {
  const config = 'bios: ovmf\nefidisk0: a:e\nscsi0: a:b\n'
  expect(build(config, ['efidisk0', 'scsi0']).values['-drive']!.slice(0, 2)).toEqual([
    'if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd',
    'if=pflash,unit=1,format=raw,file=nbd+unix:///drive-efidisk0?socket=/run/s',
  ])
  expect(() => build(config, ['efidisk0', 'scsi0'], { findFirmware: () => undefined })).toThrow(/no firmware is installed/)
})

test('what is not as it was is said', () => {
  const { remarks, values } = build('scsi0: a:b\nscsi1: a:c,backup=0\ntpmstate0: a:t\n', ['scsi0', 'virtio7', 'tpmstate0'], { hasKvm: false }, true)
  expect(remarks).toEqual([
    'there is no /dev/kvm: the processor is emulated, which is slow',
    'scsi1 is not in the backup',
    'virtio7 is in the backup, but not in the configuration: it is a virtio disk here',
    'the machine has a TPM, which is left out: what is sealed with it asks for its recovery key',
  ])
  expect(values).toMatchObject({ '-nic': ['user,model=virtio-net-pci'], '-accel': ['tcg'], '-cpu': ['max'] })
})
