import { writeFileSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'

/** Levels of nice(1) by which threads that compute stay behind those that answer. */
const BEHIND = 5
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
