import { Worker } from 'node:worker_threads'
import { SMALL_HEAP } from '../bytes/limits.js'

/** A decode thread; it loads its modules and waits for its setup, a `ToDecoder`. */
export function startDecodeThread(): Worker {
  return new Worker(new URL('./decode-worker.js', import.meta.url), { resourceLimits: SMALL_HEAP })
}
