import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { freemem } from 'node:os'
import { UsageError } from '../errors/errors.js'
import { findFirmware, QEMU_PACKAGE } from './firmware.js'
import type { MachineArch } from './machine-config.js'
import type { BootHost } from './qemu-command.js'

const MIB = 1024 * 1024

/** What takes longer only costs the window. */
const HELP_MS = 10_000

/** Kinds of windows, the better one first. */
const WINDOWS = ['gtk', 'sdl']

/** What this host can do for a machine; `screenSocket` is where its screen is shown when there can be no window. */
export async function lookAtHost(arch: MachineArch, screenSocket: string, env: NodeJS.ProcessEnv): Promise<BootHost> {
  const displays = await listDisplays(`qemu-system-${arch}`, arch, env)
  const hasDesktop = [env['DISPLAY'], env['WAYLAND_DISPLAY']].some((value) => value !== undefined && value !== '')
  const window = hasDesktop ? WINDOWS.find((kind) => displays.includes(kind)) : undefined
  return {
    hasKvm: isOwnArch(arch) && mayUse('/dev/kvm'),
    freeMemory: Math.floor(freemem() / MIB),
    screen: window === undefined ? { socket: screenSocket } : { window },
    findFirmware,
  }
}

/** Kinds of displays that this QEMU has. UsageError when it is not installed. */
function listDisplays(program: string, arch: MachineArch, env: NodeJS.ProcessEnv): Promise<string[]> {
  return new Promise((resolve, reject) => {
    execFile(program, ['-display', 'help'], { env, timeout: HELP_MS }, (error, stdout) => {
      const { code } = (error ?? {}) as NodeJS.ErrnoException
      if (code === 'ENOENT' || code === 'EACCES') {
        reject(new UsageError(`${program} is not installed`, { remedy: `Install it: apt-get install ${QEMU_PACKAGE[arch]}` }, { cause: error }))
      } else {
        resolve(stdout.split('\n').map((line) => line.trim()))
      }
    })
  })
}

function isOwnArch(arch: MachineArch): boolean {
  return process.arch === (arch === 'aarch64' ? 'arm64' : 'x64')
}

function mayUse(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false
  }
}
