import { Worker } from 'node:worker_threads'
import { SMALL_HEAP } from '../bytes/limits.js'

/** A thread for one datastore; it loads its modules and waits for its first message, a `StoreThreadData`. */
export function startStoreThread(): Worker {
  return new Worker(new URL('./store-worker.js', import.meta.url), { name: 'pbsfs-store', resourceLimits: SMALL_HEAP })
}
