import { closeSync, createReadStream, writeSync } from 'node:fs'
import { AbortedError, toPlainError } from '../errors/errors.js'
import { parseMountConfig, splitMountInput } from './mount-config.js'
import { serveMount, type ServeParts } from './serve-mount.js'
import { adoptStartLog, removeStartLog } from './start-log.js'
import { REPORT_FD, type StartReport } from './start-protocol.js'

/** What a daemon is made of; how it reports and logs is the same for all. */
export type DaemonParts = Omit<ServeParts, 'stderrFile' | 'onReady' | 'secrets'>

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

/**
 * The background process of one mount: configuration and keys on stdin, report on fd 3. All modules are
 * loaded by the time the configuration comes; an empty one means that there is nothing to mount.
 * Ends the process: 0 when the mount came to a good end or the starter knows why there is none.
 */
export async function runDaemon(parts: DaemonParts): Promise<void> {
  const input = await readStdin()
  if (input.length === 0) parts.exitNow(0)
  const log = adoptStartLog()
  const told = await serve(input, log, parts)
  if (told) removeStartLog(log)
  parts.exitNow(told ? 0 : 1)
}

async function readStdin(): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of createReadStream('', { fd: 0, autoClose: false })) chunks.push(chunk as Buffer)
  const input = Buffer.concat(chunks)
  for (const chunk of chunks) chunk.fill(0)
  return input
}

async function serve(input: Buffer, stderrFile: string | undefined, parts: DaemonParts): Promise<boolean> {
  try {
    const { config, secrets } = splitMountInput(input)
    await serveMount(parseMountConfig(config), {
      ...parts,
      secrets,
      stderrFile,
      onReady: ({ mountpoint, log, remarks }) => report({ type: 'ready', pid: process.pid, mountpoint, log, remarks }),
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
