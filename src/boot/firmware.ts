import { existsSync } from 'node:fs'
import type { MachineArch } from './machine-config.js'

/** Bytes of UEFI variables: of the older kind, of the larger one, and on ARM. */
export const SMALL_VARIABLES = 128 * 1024
export const LARGE_VARIABLES = 528 * 1024
export const ARM_VARIABLES = 64 * 1024 * 1024

/** Folders of Debian's packages, and of Proxmox VE's. */
const FOLDERS: Readonly<Record<MachineArch, readonly string[]>> = {
  x86_64: ['/usr/share/OVMF', '/usr/share/pve-edk2-firmware'],
  aarch64: ['/usr/share/AAVMF', '/usr/share/pve-edk2-firmware'],
}

/** Those that need no SMM. Whether only signed systems start is in the variables. */
const FILES: Readonly<Record<number, string>> = {
  [SMALL_VARIABLES]: 'OVMF_CODE.fd',
  [LARGE_VARIABLES]: 'OVMF_CODE_4M.fd',
  [ARM_VARIABLES]: 'AAVMF_CODE.fd',
}

/** UEFI firmware of this host that goes with variables of a size. */
export function findFirmware(arch: MachineArch, variableBytes: number, exists: (path: string) => boolean = existsSync): string | undefined {
  const file = FILES[variableBytes]
  return file === undefined ? undefined : FOLDERS[arch].map((folder) => `${folder}/${file}`).find(exists)
}

/** Debian packages: of firmware, and of QEMU. */
export const FIRMWARE_PACKAGE: Readonly<Record<MachineArch, string>> = { x86_64: 'ovmf', aarch64: 'qemu-efi-aarch64' }
export const QEMU_PACKAGE: Readonly<Record<MachineArch, string>> = { x86_64: 'qemu-system-x86', aarch64: 'qemu-system-arm' }
