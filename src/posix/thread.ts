import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'

/** Levels of nice(1) by which threads that compute stay behind those that answer, and those that compile behind both. */
const BEHIND = 5
const FAR_BEHIND = 10
const LAST = 19

/** Names the calling thread for `top -H` and `ps -L`; at most 15 bytes. */
export function nameThread(name: string): void {
  try {
    writeFileSync('/proc/thread-self/comm', name)
  } catch {
    // Without /proc it keeps its name.
  }
}

/** Lets other threads go first when there are too few processors: on Linux a priority is that of the calling thread. */
export function stayBehind(): void {
  try {
    setPriority(0, Math.min(LAST, getPriority(0) + BEHIND))
  } catch {
    // It is only slower to answer then.
  }
}

/**
 * Lets the threads of the runtime itself, which compile and tidy up, go last. Node has no names for its threads before
 * version 23: they are called as the first one is, and so are those that read files, for which a mount has no use.
 */
export function compileLast(): void {
  let names: ReadonlySet<string>
  let threads: readonly string[]
  try {
    names = new Set(['V8Worker', threadName(process.pid)])
    threads = readdirSync('/proc/self/task')
  } catch {
    // Without /proc they compete as before.
    return
  }
  const priority = Math.min(LAST, getPriority(0) + FAR_BEHIND)
  for (const thread of threads) {
    try {
      if (Number(thread) !== process.pid && names.has(threadName(thread))) setPriority(Number(thread), priority)
    } catch {
      // It has ended.
    }
  }
}

function threadName(thread: number | string): string {
  return readFileSync(`/proc/self/task/${thread}/comm`, 'latin1').trim()
}
