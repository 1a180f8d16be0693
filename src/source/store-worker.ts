import { parentPort, workerData } from 'node:worker_threads'
import { toPlainError } from '../errors/errors.js'
import { nameThread } from '../posix/thread.js'
import { openLocalDatastore, type LocalDatastore } from './local-datastore.js'
import { OPEN_ID, STORE_METHODS, type StoreReply, type StoreRequest, type StoreThreadData } from './store-messages.js'

nameThread('pbsfs-store')

/** The thread of one datastore directory: answers one request after the other. */
const port = parentPort!
const { descriptor } = workerData as StoreThreadData

function reply(message: StoreReply, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer)
}

async function answer(store: LocalDatastore, { id, method, args }: StoreRequest): Promise<void> {
  try {
    if (!STORE_METHODS.includes(method)) throw new Error(`no such method: ${String(method)}`)
    const operation = store[method].bind(store) as (...args: readonly unknown[]) => Promise<unknown>
    const result = await operation(...args)
    const transfer = (method === 'readFile' || method === 'readPart') && result instanceof Uint8Array ? [result.buffer as ArrayBuffer] : []
    reply({ id, result }, transfer)
  } catch (error) {
    reply({ id, error: toPlainError(error) })
  }
}

try {
  const { s3Cache } = descriptor
  const store = openLocalDatastore(descriptor.path, s3Cache === undefined ? {} : { s3Cache })
  port.on('message', (request: StoreRequest) => void answer(store, request))
  reply({ id: OPEN_ID, result: undefined })
} catch (error) {
  reply({ id: OPEN_ID, error: toPlainError(error) })
}
