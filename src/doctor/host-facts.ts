import { accessSync, closeSync, constants, existsSync, openSync, readFileSync, statSync } from 'node:fs'
import { release } from 'node:os'
import { messageOf } from '../errors/errors.js'
import type { HostFacts } from './check-host.js'
import type { MountingFacts } from './check-mounting.js'

/** Bit of CAP_SYS_ADMIN in the capability masks of /proc/self/status. */
const CAP_SYS_ADMIN = 21n

/** A limit of a control group at or above this is none. */
const NO_LIMIT = 2 ** 60

/** Looks at this host. */
export function readMountingFacts(searchPath: string = process.env['PATH'] ?? ''): MountingFacts {
  return {
    isRoot: process.geteuid?.() === 0,
    kernelRelease: release(),
    fuseDevice: tryOpen('/dev/fuse'),
    container: findContainer(),
    maySysAdmin: maySysAdmin(),
    fusermount: findFusermount(searchPath),
    fuseConf: readText('/etc/fuse.conf'),
    loopControl: tryOpen('/dev/loop-control'),
  }
}

export async function readHostFacts(settings: Pick<HostFacts, 'oldestNode' | 'cacheBytes' | 'fuseNative'>): Promise<HostFacts> {
  const packages = await Promise.all(['koffi', 'zstd-napi/binding.js'].map(async (name) => ({ name: name.split('/')[0]!, failure: await tryImport(name) })))
  return {
    ...settings,
    node: process.versions.node,
    packages,
    availableMemory: readAvailableMemory(),
    memoryLimit: readMemoryLimit(),
    isRoot: process.geteuid?.() === 0,
    backupGroup: findBackupGroup(),
  }
}

function tryOpen(path: string): string {
  try {
    closeSync(openSync(path, 'r+'))
    return 'ok'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'EIO'
  }
}

async function tryImport(name: string): Promise<string | undefined> {
  try {
    await import(name)
    return undefined
  } catch (error) {
    return messageOf(error).split('\n', 1)[0]
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}

function findContainer(): string | undefined {
  const told = readText('/run/systemd/container')?.trim() ?? /(?:^|\0)container=([^\0]+)/.exec(readText('/proc/1/environ') ?? '')?.[1]
  if (told !== undefined && /^[\w-]+$/.test(told)) return told
  if (existsSync('/.dockerenv')) return 'docker'
  if (existsSync('/run/.containerenv')) return 'podman'
  return /\/lxc[./]/.test(readText('/proc/1/cgroup') ?? '') ? 'lxc' : undefined
}

function maySysAdmin(): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(readText('/proc/self/status') ?? '')?.[1] ?? '0'
  return ((BigInt(`0x${mask}`) >> CAP_SYS_ADMIN) & 1n) === 1n
}

function findFusermount(searchPath: string): MountingFacts['fusermount'] {
  for (const folder of [...searchPath.split(':'), '/bin', '/usr/bin']) {
    const path = `${folder}/fusermount3`
    try {
      if (!folder.startsWith('/')) continue
      accessSync(path, constants.X_OK)
      return { path, isSetuid: (statSync(path).mode & constants.S_IFMT) === constants.S_IFREG && (statSync(path).mode & 0o4000) !== 0 }
    } catch {
      // Not in this folder.
    }
  }
  return undefined
}

function readAvailableMemory(): number {
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(readText('/proc/meminfo') ?? '')?.[1]
  return kib === undefined ? Infinity : Number(kib) * 1024
}

function readMemoryLimit(): number | undefined {
  const own = /^0::(.*)$/m.exec(readText('/proc/self/cgroup') ?? '')?.[1] ?? ''
  const texts = [`/sys/fs/cgroup${own}/memory.max`, '/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'].map(readText)
  const limits = texts.map((text) => Number(text?.trim() ?? NaN)).filter((limit) => limit > 0 && limit < NO_LIMIT)
  return limits.length === 0 ? undefined : Math.min(...limits)
}

function findBackupGroup(): HostFacts['backupGroup'] {
  const id = /^backup:[^:]*:(\d+):/m.exec(readText('/etc/group') ?? '')?.[1]
  if (id === undefined) return 'none'
  return [process.getegid?.(), ...(process.getgroups?.() ?? [])].includes(Number(id)) ? 'member' : 'not a member'
}
