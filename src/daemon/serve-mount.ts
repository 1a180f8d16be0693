import { escapeName } from '../bytes/names.js'
import type { FoundSource } from './find-source.js'
import { createLog, openLogFile, stderrTarget, type DaemonLog } from './log.js'
import type { SessionEnd } from './messages.js'
import { decodeBytes, type MountConfig } from './mount-config.js'
import type { MountTable } from './mount-table.js'
import { runMount, type ReadyReport, type SignalSource } from './run-mount.js'
import { openProcessSession, type Session } from './session.js'
import { guardStart } from './start-guard.js'
import { withTimeout } from './with-timeout.js'

/** While the process fails at large, the orderly way out gets this long. */
const EMERGENCY_TIMEOUT_MS = 5_000

/** A thread that has nothing to do ends at once. */
const UNUSED_TIMEOUT_MS = 1_000

export interface ServeParts {
  readonly table: MountTable
  readonly findSource: (config: MountConfig) => Promise<FoundSource>
  /** Made early, so that its thread loads while other things are looked at. */
  readonly session: Session
  /** For a driver that cannot use a thread of this process. */
  readonly openProcessSession?: () => Session
  /** Encoded keys; zeroed when the session has them. */
  readonly secrets: Uint8Array
  readonly exitNow: (code: number) => never
  /** Path of the file in the runtime folder that stderr leads to; undefined: a terminal or pipe. */
  readonly stderrFile: string | undefined
  readonly onReady: (report: ReadyReport) => void
  readonly signals?: SignalSource
}

/**
 * Runs a mount in this process, with its log and its last resort: a bug that nothing caught is
 * logged, the mount taken away, the process ended with code 1. Resolves at the end of the mount;
 * rejects with what kept it from being mounted or broke it.
 */
export async function serveMount(config: MountConfig, parts: ServeParts): Promise<{ clean: boolean; reason: SessionEnd }> {
  const { log, name } = openConfiguredLog(config, parts.stderrFile)
  const session = chooseSession(config, parts)
  session.logTo(log)
  let leave: (() => Promise<void>) | undefined
  let isReady = false
  const onBug = (error: unknown) => {
    log.error('a fault of pbsfs itself ends the mount', { message: String(error), stack: stackOf(error) })
    void withTimeout(leave?.() ?? Promise.resolve(), EMERGENCY_TIMEOUT_MS).then(() => parts.exitNow(1))
  }
  process.on('uncaughtException', onBug)
  try {
    return await runMount(config, {
      table: parts.table,
      log,
      logName: name,
      signals: parts.signals ?? process,
      findSource: parts.findSource,
      guardStart,
      session,
      secrets: parts.secrets,
      onEmergency: (action) => (leave = action),
      onReady: (report) => {
        isReady = true
        parts.onReady(report)
      },
    })
  } catch (error) {
    if (isReady) log.error('the mount has failed', { message: String(error), stack: stackOf(error) })
    throw error
  } finally {
    process.off('uncaughtException', onBug)
    log.close()
  }
}

function chooseSession(config: MountConfig, parts: ServeParts): Session {
  if (config.driver === 'kernel') return parts.session
  void parts.session.terminate(UNUSED_TIMEOUT_MS)
  return (parts.openProcessSession ?? openProcessSession)()
}

function openConfiguredLog(config: MountConfig, stderrFile: string | undefined): { log: DaemonLog; name: string } {
  const { file, level } = config.log
  if (file !== undefined) {
    const path = decodeBytes(file)
    return { log: createLog(openLogFile(path), level), name: escapeName(path) }
  }
  return { log: createLog(stderrTarget(stderrFile !== undefined), level), name: stderrFile ?? 'stderr' }
}

function stackOf(error: unknown): string | undefined {
  return error instanceof Error ? error.stack : undefined
}
