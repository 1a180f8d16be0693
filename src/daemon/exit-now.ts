import { createRequire } from 'node:module'

/**
 * Ends the process without waiting for its threads: `process.exit` joins them, and one that waits
 * in the kernel would keep it for ever. Exit handlers do not run; everything must be written.
 */
export function exitNow(code: number): never {
  try {
    const koffi = createRequire(import.meta.url)('koffi') as {
      load(path: null): { func(prototype: string): (code: number) => void }
    }
    koffi.load(null).func('void _exit(int)')(code)
  } catch {
    // No FFI on this machine: the code is lost, the end is certain.
  }
  process.kill(process.pid, 'SIGKILL')
  throw new Error('not reached')
}
