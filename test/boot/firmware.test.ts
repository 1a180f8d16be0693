import { expect, it } from 'vitest'
import { ARM_VARIABLES, findFirmware, LARGE_VARIABLES, SMALL_VARIABLES } from '#src/boot/firmware.js'

it('by the size of the variables, from the folders of Debian and Proxmox VE', () => {
  const all = () => true
  expect(findFirmware('x86_64', LARGE_VARIABLES, all)).toBe('/usr/share/OVMF/OVMF_CODE_4M.fd')
  expect(findFirmware('x86_64', SMALL_VARIABLES, all)).toBe('/usr/share/OVMF/OVMF_CODE.fd')
  expect(findFirmware('aarch64', ARM_VARIABLES, all)).toBe('/usr/share/AAVMF/AAVMF_CODE.fd')
  const onPve = (path: string) => path.startsWith('/usr/share/pve-edk2-firmware/')
  expect(findFirmware('x86_64', LARGE_VARIABLES, onPve)).toBe('/usr/share/pve-edk2-firmware/OVMF_CODE_4M.fd')
  expect(findFirmware('aarch64', ARM_VARIABLES, onPve)).toBe('/usr/share/pve-edk2-firmware/AAVMF_CODE.fd')
})

it('none for another size, and none that is not there', () => {
  expect(findFirmware('x86_64', 4096, () => true)).toBeUndefined()
  expect(findFirmware('x86_64', LARGE_VARIABLES, () => false)).toBeUndefined()
})
