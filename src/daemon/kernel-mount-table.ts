import { readFileSync, writeFileSync } from 'node:fs'
import { mountFuse, unmount } from '../fuse/mount.js'
import { parseMountinfo, readMountinfo } from '../fuse/mountinfo.js'
import { probeMount } from '../fuse/stale.js'
import type { MountTable } from './mount-table.js'
import { requireFuseDevice, requireFusermount } from './require-fuse.js'

/** A mount that is only looked at may cost this long. */
const PROBE_TIMEOUT_MS = 2_000

const CONNECTIONS = '/sys/fs/fuse/connections'

/** The mounts of this machine. */
export const kernelMountTable: MountTable = {
  list: (pid) => (pid === undefined ? readMountinfo() : readMountsOf(pid)),
  mount: (request) => mountFuse(request),
  unmount: (mountpoint, lazy) => unmount(mountpoint, { lazy }),
  isDead: async (place) => (await probeMount(place.mountpoint, PROBE_TIMEOUT_MS)) === 'dead',
  abort: (minor) => {
    try {
      writeFileSync(`${CONNECTIONS}/${minor}/abort`, '1')
      return true
    } catch {
      return false
    }
  },
  requireFuse: () => {
    requireFuseDevice()
    if (process.geteuid?.() !== 0) requireFusermount()
  },
}

function readMountsOf(pid: number) {
  try {
    return parseMountinfo(readFileSync(`/proc/${pid}/mountinfo`))
  } catch {
    // Another user's process, or gone.
    return []
  }
}
