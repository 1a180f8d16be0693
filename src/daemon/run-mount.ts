import { rmdirSync } from 'node:fs'
import { escapeName } from '../bytes/names.js'
import { BusyError, messageOf } from '../errors/errors.js'
import type { FoundSource } from './find-source.js'
import { removeLeftovers } from './find-mounts.js'
import { describeHolders, findHolders } from './holders.js'
import type { DaemonLog } from './log.js'
import type { SessionEnd } from './messages.js'
import { decodeBytes, type MountConfig } from './mount-config.js'
import { findMount, type MountedPlace, type MountTable } from './mount-table.js'
import { prepareMountpoint, type Prepared } from './preflight.js'
import { publishMount, type PublishedMount } from './publish-mount.js'
import { findRuntimeFolder } from './runtime-folder.js'
import type { Session } from './session.js'
import { withTimeout } from './with-timeout.js'

/** After an abort the session must be gone by then; else the process ends without it. */
const ABORT_TIMEOUT_MS = 1_000
/** In place of a descriptor, for a driver that mounts by itself. */
const MOUNTS_ITSELF = -1
/** For an unmount while the process is failing. */
const LAST_UNMOUNT_TIMEOUT_MS = 3_000

/** Escaped text. */
export interface ReadyReport {
  readonly mountpoint: string
  readonly source: string
  readonly log: string
  /** Warnings and errors of the log so far: what a person should know of this mount. */
  readonly remarks: readonly string[]
}

/** What runMount is made of; the daemon passes the real ones. */
export interface MountParts {
  readonly table: MountTable
  readonly log: DaemonLog
  /** Where the log goes, for people. */
  readonly logName: string
  /** Its thread runs and waits for what to serve. */
  readonly session: Session
  /** Encoded keys; zeroed when the session has them. Absent: none. */
  readonly secrets?: Uint8Array
  /** Where SOURCE is; rejects with what is wrong with it. */
  findSource(config: MountConfig): Promise<FoundSource>
  /** Keeps others of this user from starting until the returned function is called. */
  guardStart(): Promise<() => void>
  /** The mount answers. */
  onReady(report: ReadyReport): void
  /** Called before anything is mounted with what must be done if the process fails at large. */
  onEmergency(leave: () => Promise<void>): void
  /** Signals of the process; a parameter so that tests can send their own. */
  readonly signals: SignalSource
}

export interface SignalSource {
  on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
  off(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
}

const END_SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

/**
 * Serves one mount from preflight to the end. Resolves when the mount is gone and everything that
 * belongs to it has been removed; `clean` false: a thread still waits in the kernel, so the
 * process must be ended by force. Rejects, with the same things removed, when it could not be
 * mounted or the session failed.
 */
export async function runMount(config: MountConfig, parts: MountParts): Promise<{ clean: boolean; reason: SessionEnd }> {
  const source = await parts.findSource(config)
  const started = await parts.guardStart()
  try {
    return await runPrepared(config, parts, source, started)
  } finally {
    started()
  }
}

/** `started` is called once the mount is there: others may start then. */
async function runPrepared(
  config: MountConfig,
  parts: MountParts,
  source: FoundSource,
  started: () => void,
): Promise<{ clean: boolean; reason: SessionEnd }> {
  const { table, log } = parts
  const prepared = await prepareMountpoint(
    {
      mountpoint: decodeBytes(config.mountpoint),
      cwd: decodeBytes(config.source.cwd),
      sourcePaths: source.paths,
      overlay: config.overlay === undefined ? undefined : decodeBytes(config.overlay),
      nonempty: config.options.nonempty,
      removeLeftovers: () => removeAllLeftovers(table, log),
    },
    table,
    log,
  )
  const mount = new ServedMount(config, parts, prepared, source.shown)
  parts.onEmergency(() => mount.leave())
  try {
    return await mount.serve(started)
  } finally {
    await mount.leave()
  }
}

class ServedMount {
  readonly #config: MountConfig
  readonly #parts: MountParts
  readonly #mountpoint: Buffer
  readonly #prepared: Prepared
  readonly #source: string
  #place: MountedPlace | undefined
  /** The kernel has no mount of ours any more: what is at the place now is somebody else's. */
  #detached = false
  readonly #onSignal = (signal: NodeJS.Signals) => this.#handleSignal(signal)
  #signals = 0
  #published: PublishedMount | undefined
  #abort: (() => void) | undefined

  constructor(config: MountConfig, parts: MountParts, prepared: Prepared, source: string) {
    this.#config = config
    this.#parts = parts
    this.#mountpoint = prepared.mountpoint
    this.#prepared = prepared
    this.#source = source
    for (const signal of END_SIGNALS) parts.signals.on(signal, this.#onSignal)
  }

  async serve(started: () => void): Promise<{ clean: boolean; reason: SessionEnd }> {
    const { log, table } = this.#parts
    const options = this.#config.options
    const mounts = this.#config.driver === 'kernel'
    const request = { mountpoint: this.#mountpoint, source: this.#source, options }
    const { fd } = mounts ? await table.mount(request) : { fd: MOUNTS_ITSELF }
    this.#findPlace()
    // A driver that mounts by itself has yet to do so.
    if (mounts) started()
    if (this.#signals > 0) return { clean: true, reason: 'stopped' }
    const { session, secrets = new Uint8Array(0) } = this.#parts
    const mountpoint = this.#mountpoint.toString('hex')
    // A copy without the memory around it, which would go along.
    const sent = new Uint8Array(secrets)
    session.start({ fd, mountpoint, source: this.#source, config: this.#config, secrets: sent })
    for (const bytes of [sent, secrets]) bytes.fill(0)
    const aborted = new Promise<SessionEnd>((resolve) => (this.#abort = () => resolve('aborted')))
    try {
      await Promise.race([session.ready, aborted])
    } catch (error) {
      // Interrupted: that the session ended is what was asked for.
      if (this.#signals === 0) throw error
    } finally {
      // A driver that mounts by itself has done so by now, perhaps even when it failed.
      this.#findPlace()
    }
    if (!mounts && this.#signals > 0) await this.#unmount()
    if (this.#signals === 0) {
      this.#published = await publishMount({
        config: this.#config,
        mountpoint: this.#mountpoint,
        created: this.#prepared.created,
        source: this.#source,
        session,
        log,
        logName: this.#parts.logName,
      })
      started()
      log.info('mounted', { path: escapeName(this.#mountpoint), source: this.#source, pid: process.pid })
      this.#parts.onReady({ mountpoint: escapeName(this.#mountpoint), source: this.#source, log: this.#parts.logName, remarks: log.recent().map(sentenceOf) })
    }
    const reason = await Promise.race([session.ended, aborted])
    if (reason === 'unmounted') this.#detached = true
    log.info('the mount has ended', { path: escapeName(this.#mountpoint), reason })
    return { clean: await session.terminate(ABORT_TIMEOUT_MS), reason }
  }

  /** Every way out comes through here; nothing of the mount stays. */
  async leave(): Promise<void> {
    for (const signal of END_SIGNALS) this.#parts.signals.off(signal, this.#onSignal)
    const { table, log } = this.#parts
    // Aborted or failed: the kernel still has the mount, and nobody answers it.
    if (this.#isMounted()) {
      const gone = table.unmount(this.#mountpoint, true).catch((error: unknown) => {
        log.error('cannot unmount', { path: escapeName(this.#mountpoint), message: String(error) })
      })
      await withTimeout(gone, LAST_UNMOUNT_TIMEOUT_MS)
    }
    await this.#parts.session.terminate(ABORT_TIMEOUT_MS)
    await this.#published?.withdraw()
    if (this.#prepared.created) removeFolder(this.#mountpoint)
  }

  #findPlace(): void {
    this.#place ??= findMount(this.#parts.table.list(), this.#mountpoint)
  }

  #isMounted(): boolean {
    if (this.#detached || this.#place === undefined) return false
    return findMount(this.#parts.table.list(), this.#mountpoint)?.minor === this.#place.minor
  }

  #handleSignal(signal: NodeJS.Signals): void {
    this.#signals++
    if (this.#signals > 1) return this.#cutOff(signal)
    this.#parts.log.info('unmounting', { signal })
    // Whoever mounted unmounts; we can only hang up.
    if (this.#prepared.inherited) return this.#parts.session.stop()
    this.#unmount().catch((error: unknown) => {
      this.#parts.log.error('cannot unmount', { message: String(error) })
      this.#cutOff(signal)
    })
  }

  async #unmount(): Promise<void> {
    const { table, log } = this.#parts
    if (!this.#isMounted()) return
    try {
      await table.unmount(this.#mountpoint, false)
      this.#detached = true
    } catch (error) {
      if (!(error instanceof BusyError)) throw error
      const holders = this.#place === undefined ? [] : findHolders(this.#place, table.list())
      log.warn('the mount is in use; the path is free now, the files that are open can be read to their end', {
        path: escapeName(this.#mountpoint),
        holder: describeHolders(holders),
      })
      await table.unmount(this.#mountpoint, true)
      this.#detached = true
    }
  }

  #cutOff(signal: NodeJS.Signals): void {
    this.#parts.log.warn('cutting off everybody who still uses the mount', { signal })
    if (this.#place !== undefined) this.#parts.table.abort(this.#place.minor)
    this.#parts.session.stop()
    setTimeout(() => this.#abort?.(), ABORT_TIMEOUT_MS)
  }
}

/** Of a line of the log, without time and level. */
function sentenceOf(line: string): string {
  return line.replace(/^\S+ \S+ /, '')
}

function removeAllLeftovers(table: MountTable, log: DaemonLog): void {
  try {
    const folder = findRuntimeFolder()
    if (folder !== undefined) removeLeftovers(folder, table.list())
  } catch (error) {
    log.warn('the runtime folder cannot be cleaned', { message: messageOf(error) })
  }
}

function removeFolder(path: Buffer): void {
  try {
    rmdirSync(path)
  } catch {
    // Somebody put something in it, or it is gone.
  }
}
