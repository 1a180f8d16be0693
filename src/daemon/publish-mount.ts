import { escapeName } from '../bytes/names.js'
import { messageOf } from '../errors/errors.js'
import { openControlSocket, type ControlSocket } from './control-socket.js'
import type { DaemonLog } from './log.js'
import type { MountConfig } from './mount-config.js'
import { readProcessId } from './process-id.js'
import { openRuntimeFolder } from './runtime-folder.js'
import { removeRecord, socketPath, writeRecord } from './runtime-record.js'
import type { Session } from './session.js'
import type { MountStatus } from './status.js'

/** A status question waits this long for the session thread. */
const STATUS_TIMEOUT_MS = 1_000

export interface MountToPublish {
  readonly config: MountConfig
  readonly mountpoint: Buffer
  /** The mountpoint was made for the mount. */
  readonly created: boolean
  /** Escaped. */
  readonly source: string
  readonly session: Session
  readonly log: DaemonLog
  readonly logName: string
}

/** Record and socket in the runtime folder. */
export interface PublishedMount {
  withdraw(): Promise<void>
}

/**
 * Lets other commands find this process's mount, which has just answered. undefined when that is
 * not possible: a mount that works is worth more than its status, so the log alone says it.
 */
export async function publishMount(mount: MountToPublish): Promise<PublishedMount | undefined> {
  const id = readProcessId(process.pid)
  if (id === undefined) return undefined
  const started = new Date()
  let socket: ControlSocket | undefined
  try {
    const folder = openRuntimeFolder()
    const opened = await openControlSocket(socketPath(folder, id.pid), () => describe(mount, started))
    socket = opened
    writeRecord(folder, {
      ...id,
      version: mount.config.pbsfs,
      mountpoint: mount.mountpoint.toString('hex'),
      source: mount.source,
      driver: mount.config.driver,
      log: mount.logName,
      started: started.toISOString(),
      createdMountpoint: mount.created,
    })
    return {
      withdraw: async () => {
        await opened.close()
        removeRecord(folder, id.pid)
      },
    }
  } catch (error) {
    await socket?.close()
    mount.log.warn('no status of this mount', { message: messageOf(error) })
    return undefined
  }
}

async function describe(mount: MountToPublish, started: Date): Promise<MountStatus> {
  const session = await mount.session.status(STATUS_TIMEOUT_MS)
  return {
    mountpoint: escapeName(mount.mountpoint),
    source: mount.source,
    state: session === undefined ? 'silent' : 'running',
    pid: process.pid,
    uptimeSeconds: Math.floor((Date.now() - started.getTime()) / 1000),
    started: started.toISOString(),
    pbsfs: mount.config.pbsfs,
    driver: mount.config.driver,
    log: mount.logName,
    session: session ?? null,
    recent: mount.log.recent(),
  }
}
