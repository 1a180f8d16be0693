import fc from 'fast-check'
import { expect, test } from 'vitest'
import { guessMachine, parseMachineConfig } from '#src/boot/machine-config.js'

const parse = (text: string) => parseMachineConfig(Buffer.from(text), 'qemu-server.conf')

test('what starting a machine needs; sections of snapshots do not count', () => {
  const machine = parse(`#a comment: scsi9
boot: order=scsi0;ide2;net0
bios: ovmf
cores: 4
sockets: 2
cpu: host
efidisk0: local-lvm:vm-100-disk-1,efitype=4m,size=528K
ide2: local:iso/x.iso,media=cdrom,size=600M
machine: pc-q35-8.1
memory: 4096
name: web-1
net0: virtio=AA:BB:CC:DD:EE:FF,bridge=vmbr0
sata1: none,media=cdrom
scsi0: local-lvm:vm-100-disk-0,discard=on,size=32G,ssd=1,serial=abc
scsihw: virtio-scsi-single
smbios1: uuid=12345678-1234-1234-1234-123456789abc
tpmstate0: local-lvm:vm-100-disk-2,size=4M,version=v2.0
usb0: host=1:2
virtio3: other:vm-100-disk-9

[before-update]
memory: 1
scsi1: local-lvm:vm-100-disk-7
`)
  expect(machine).toEqual({
    name: 'web-1', memory: 4096, sockets: 2, cores: 4, firmware: 'ovmf', hasLargeVariables: true, isQ35: true, arch: 'x86_64', scsiController: 'virtio-scsi-single',
    uuid: '12345678-1234-1234-1234-123456789abc', hasLocalClock: false, network: { model: 'virtio', mac: 'AA:BB:CC:DD:EE:FF' }, bootOrder: ['scsi0', 'ide2', 'net0'],
    hasTpm: true, leftOut: ['usb0'],
    disks: [
      { name: 'efidisk0', bus: 'efidisk', index: 0, isSsd: false, discards: false, serial: undefined },
      { name: 'scsi0', bus: 'scsi', index: 0, isSsd: true, discards: true, serial: 'abc' },
      { name: 'virtio3', bus: 'virtio', index: 3, isSsd: false, discards: false, serial: undefined },
    ],
  }) // prettier-ignore
})

test('the older way to name the boot disk; what is missing has its default', () => {
  expect(parse('boot: cdn\nbootdisk: virtio0\nmemory: current=1024\n')).toMatchObject({ bootOrder: ['virtio0'], memory: 1024, cores: 1, firmware: 'seabios', scsiController: 'lsi' })
  expect(parse('memory: lots\ncores: -1\nsockets: 99999\n')).toMatchObject({ memory: 512, cores: 1, sockets: 1 })
})

test.each([
  ['name: a,debug-threads=on', { name: undefined }],
  ['name: -x', { name: undefined }],
  ['scsihw: __proto__', { scsiController: 'lsi' }],
  ['smbios1: uuid=------------------------------------', { uuid: undefined }],
  ['smbios1: uuid=12345678-1234-1234-1234-123456789abc-', { uuid: undefined }],
  ['cores: 100\nsockets: 4', { sockets: 1, cores: 100 }],
  ['net0: model=e1000,macaddr=x', { network: { model: 'e1000', mac: undefined } }],
  ['net0: virtio,model=x', { network: { model: 'virtio', mac: undefined } }],
  ['net0: tap=AA:BB:CC:DD:EE:FF', { network: undefined }],
  ['net10: virtio\nnet2: e1000', { network: { model: 'e1000', mac: undefined } }],
  ['ostype: win10', { hasLocalClock: true }],
  ['ostype: win10\nlocaltime: 0', { hasLocalClock: false }],
  ['scsi01: a:b', { disks: [] }],
  ['scsi0: a:b,serial=a%2cb', { disks: [expect.objectContaining({ serial: 'a,b' })] }],
  ['scsi0: a:b,serial=a%00b', { disks: [expect.objectContaining({ serial: undefined })] }],
  ['scsi0: a:b,serial=abcdefghijklmnopqrstu', { disks: [expect.objectContaining({ serial: undefined })] }],
])('%j: a value is taken when it is one', (text, expected) => {
  expect(parse(text)).toMatchObject(expected)
})

test('without a configuration the images tell of the buses', () => {
  expect(guessMachine(['scsi0', 'efidisk0', 'x', 'scsi99'])).toMatchObject({ firmware: 'ovmf', disks: [{ name: 'scsi0' }, { name: 'efidisk0' }] })
  expect(guessMachine(['sata0', 'scsi1', 'virtio0', 'ide0', 'scsi0']).disks.map(({ name }) => name)).toEqual(['scsi0', 'virtio0', 'sata0', 'ide0', 'scsi1'])
})

test('any bytes: a machine, never a crash', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      expect(parseMachineConfig(bytes, 'x').memory).toBeGreaterThan(0)
    }),
  )
  expect(() => parseMachineConfig(new Uint8Array(2 << 20), 'x')).toThrow(/too long/)
})
