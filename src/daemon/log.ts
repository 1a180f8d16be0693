import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { escapeName, escapeText } from '../bytes/names.js'
import { SourceError, type ErrorFields } from '../errors/errors.js'
import type { Log } from '../errors/log.js'
import { LOG_LEVELS, type LogLevel } from './log-level.js'

/** Warnings and errors kept for `status`. */
const KEPT_LINES = 50

/** A log in the runtime folder lives in memory (tmpfs): above this it starts again. */
const MAX_RUNTIME_LOG_BYTES = 8 * 1024 * 1024

const STDERR = 2

export interface LogTarget {
  readonly fd: number
  /** Truncate above this size; 0: never. */
  readonly maxBytes: number
}

export interface DaemonLog extends Log {
  write(level: LogLevel, message: string, fields?: ErrorFields): void
  /** Last warnings and errors, oldest first. */
  recent(): string[]
  close(): void
}

/** Appends to a file of the user's choice. SourceError when it cannot be opened. */
export function openLogFile(path: Uint8Array): LogTarget {
  try {
    return { fd: openSync(Buffer.from(path), 'a', 0o640), maxBytes: 0 }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw new SourceError(
      `cannot write the log ${escapeName(path)} (${code})`,
      { path: escapeName(path), operation: 'open', code },
      { cause: error },
    )
  }
}

/** stderr: the terminal, or what the starter put there (then a file of the runtime folder, which is kept small). */
export function stderrTarget(isRuntimeFile: boolean): LogTarget {
  return { fd: STDERR, maxBytes: isRuntimeFile ? MAX_RUNTIME_LOG_BYTES : 0 }
}

/**
 * Log of a daemon: one line a record, written synchronously (a line that was logged survives
 * a kill). Never throws: a full disk costs the line, not the mount.
 */
export function createLog(target: LogTarget, level: LogLevel, now: () => Date = () => new Date()): DaemonLog {
  const threshold = LOG_LEVELS.indexOf(level)
  const kept: string[] = []

  function write(at: LogLevel, message: string, fields: ErrorFields = {}): void {
    const rank = LOG_LEVELS.indexOf(at)
    if (rank < threshold) return
    const line = formatLine(now(), at, message, fields)
    if (rank >= LOG_LEVELS.indexOf('warn')) {
      kept.push(line)
      if (kept.length > KEPT_LINES) kept.shift()
    }
    writeLine(target, line)
  }

  return {
    write,
    debug: (message, fields) => write('debug', message, fields),
    info: (message, fields) => write('info', message, fields),
    warn: (message, fields) => write('warn', message, fields),
    error: (message, fields) => write('error', message, fields),
    recent: () => [...kept],
    close: () => {
      if (target.fd > STDERR) closeSync(target.fd)
    },
  }
}

/** `TIME LEVEL message name=value ...`, safe to print. */
export function formatLine(time: Date, level: LogLevel, message: string, fields: ErrorFields = {}): string {
  let line = `${time.toISOString()} ${level} ${escapeText(message)}`
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) line += ` ${name}=${quote(String(value))}`
  }
  return line
}

function quote(value: string): string {
  const text = escapeText(value)
  return text === '' || /[\s"=]/.test(text) ? `"${text.replaceAll('"', "'")}"` : text
}

function writeLine(target: LogTarget, line: string): void {
  try {
    if (target.maxBytes > 0 && fstatSync(target.fd).size > target.maxBytes) ftruncateSync(target.fd)
    writeSync(target.fd, line + '\n')
  } catch {
    // Nowhere left to say so.
  }
}
