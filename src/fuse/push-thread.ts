import { writevSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { viewOf } from '../bytes/le.js'
import { nameThread } from '../posix/thread.js'
import { packStoreHead, STORE_HEAD_SIZE } from './protocol/notify.js'
import { BATCH_FIELDS, type PushBatch, type PushedBatch, type PusherSetup } from './push-messages.js'

/*
 * Writes FUSE_NOTIFY_STORE. A store waits for the lock of each page, which a READ that is not
 * answered yet may hold: a thread of its own may wait, one that answers requests may not.
 */
const { fd, memory } = workerData as PusherSetup
const bytes = new Uint8Array(memory)
const head = Buffer.allocUnsafeSlow(STORE_HEAD_SIZE)
const view = viewOf(head)
const port = parentPort!
nameThread('pbsfs-push')

/** The kernel has forgotten the file, or not yet heard of it. */
const UNKNOWN = 'ENOENT'
/** The mount has ended. */
const GONE = new Set(['ENODEV', 'ECONNABORTED', 'ENOTCONN'])

port.on('message', (batch: PushBatch) => port.postMessage(push(batch)))

function push({ id, files }: PushBatch): PushedBatch {
  let stored = 0
  for (let i = 0; i < files.length; i += BATCH_FIELDS) {
    const offset = files[i + 2]!
    const length = files[i + 3]!
    packStoreHead(view, 0, files[i]!, files[i + 1]!, 0, length)
    try {
      writevSync(fd, [head, bytes.subarray(offset, offset + length)])
      stored++
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'EIO'
      if (GONE.has(code)) return { id, stored, gone: true }
      if (code !== UNKNOWN) return { id, stored, gone: false, fault: String(error) }
    }
  }
  return { id, stored, gone: false }
}
