import { closeSync, readFileSync, writeSync } from 'node:fs'
import { AbortedError, toPlainError } from '../errors/errors.js'
import { exitNow } from './exit-now.js'
import { findSourcePath } from './find-source-path.js'
import { kernelMountTable } from './kernel-mount-table.js'
import { parseMountConfig } from './mount-config.js'
import { serveMount } from './serve-mount.js'
import { adoptStartLog, removeStartLog } from './start-log.js'
import { REPORT_FD, type StartReport } from './start-protocol.js'

let reported = false

function report(message: StartReport): void {
  if (reported) return
  reported = true
  try {
    writeSync(REPORT_FD, JSON.stringify(message) + '\n')
    closeSync(REPORT_FD)
  } catch {
    // The starter has gone; the mount is what counts.
  }
}

/** Whether the mount came to a good end, or the starter knows why there is none. */
async function serve(text: string, stderrFile: string | undefined): Promise<boolean> {
  try {
    await serveMount(parseMountConfig(text), {
      table: kernelMountTable,
      findSourcePath,
      exitNow,
      stderrFile,
      onReady: ({ mountpoint, log }) => report({ type: 'ready', pid: process.pid, mountpoint, log }),
    })
    // Interrupted before the mount was there; without effect when it was.
    report({ type: 'failed', error: toPlainError(new AbortedError('interrupted before the mount was ready')) })
    return true
  } catch (error) {
    if (reported) return false
    report({ type: 'failed', error: toPlainError(error) })
    return true
  }
}

/*
 * The background process of one mount: configuration on stdin, report on fd 3. All modules are
 * loaded by the time the configuration comes; an empty one means that there is nothing to mount.
 */
const text = readFileSync(0, 'utf8')
if (text !== '') {
  const log = adoptStartLog()
  const told = await serve(text, log)
  if (told) removeStartLog(log)
  exitNow(told ? 0 : 1)
}
