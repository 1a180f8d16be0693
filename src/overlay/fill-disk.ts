import { setTimeout as sleep } from 'node:timers/promises'
import { AbortedError } from '../errors/errors.js'
import type { CowDisk } from './cow-disk.js'

/** Bytes copied at a time, and how many such pieces are under way. */
const PIECE = 4 * 1024 * 1024
const AT_ONCE = 3

/** Bytes copied between two points at which all is safe from a loss of power. */
const CHECKPOINT = 512 * 1024 * 1024

export interface FillOptions {
  readonly signal: AbortSignal
  /** Bytes a second at most; undefined: as fast as it goes. */
  readonly rate?: number | undefined
  /** Bytes that are in the file, of all of the disk. */
  readonly onProgress?: (done: number) => void
}

/**
 * Copies everything that is not in the file of a disk yet, while others use the disk. When it resolves, the file
 * alone is the disk, safe from a loss of power. Rejects with AbortedError when it is ended: what was copied stays.
 */
export async function fillDisk(disk: CowDisk, { signal, rate, onProgress }: FillOptions): Promise<void> {
  const { map } = disk
  const { blockSize } = map.header
  const step = Math.max(1, Math.floor(PIECE / blockSize))
  const began = performance.now()
  let copied = 0
  let saved = 0
  let next = 0
  const work = async (): Promise<void> => {
    for (;;) {
      if (signal.aborted) throw new AbortedError('interrupted')
      const from = map.next(next, false)
      if (from >= map.blocks) return
      next = from + step
      const before = map.count
      await disk.fill(from * blockSize, step * blockSize)
      copied += (map.count - before) * blockSize
      onProgress?.(Math.min(disk.size, map.count * blockSize))
      if (copied - saved >= CHECKPOINT) {
        saved = copied
        await disk.flush()
      }
      if (rate !== undefined) await wait((copied / rate) * 1000 - (performance.now() - began), signal)
    }
  }
  const results = await Promise.allSettled(Array.from({ length: AT_ONCE }, work))
  await disk.flush()
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

async function wait(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0) return
  try {
    await sleep(ms, undefined, { signal })
  } catch {
    // Ended: the caller looks at the signal.
  }
}
