import { readFileSync } from 'node:fs'

/** A process for good: a number alone is used again by the next one. */
export interface ProcessId {
  readonly pid: number
  /** Field 22 of /proc/PID/stat: clock ticks from boot to its start. */
  readonly startTime: string
}

/** undefined: no such process, or it is a zombie. */
export function readProcessId(pid: number): ProcessId | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return undefined
  }
  // The second field is the program's name in parentheses and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state, startTime] = [fields[0], fields[19]]
  return startTime === undefined || state === 'Z' || state === 'X' ? undefined : { pid, startTime }
}

export function isAlive(id: ProcessId): boolean {
  return readProcessId(id.pid)?.startTime === id.startTime
}

/** Resolves true when the process is gone, false after `timeoutMs`. */
export async function waitForExit(id: ProcessId, timeoutMs: number): Promise<boolean> {
  const end = Date.now() + timeoutMs
  for (let pause = 5; isAlive(id); pause = Math.min(pause * 2, 200)) {
    if (Date.now() >= end) return false
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
  return true
}
