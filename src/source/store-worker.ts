import { parentPort } from 'node:worker_threads'
import { toPlainError } from '../errors/errors.js'
import { nameThread } from '../posix/thread.js'
import { openLocalDatastore, type LocalDatastore } from './local-datastore.js'
import { OPEN_ID, STORE_METHODS, type StoreReply, type StoreRequest, type StoreThreadData } from './store-messages.js'

nameThread('pbsfs-store')

/** The thread of one datastore directory: answers one request after the other. */
const port = parentPort!

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

let store: LocalDatastore | undefined

function open({ descriptor: { path, s3Cache } }: StoreThreadData): void {
  try {
    store = openLocalDatastore(path, s3Cache === undefined ? {} : { s3Cache })
    reply({ id: OPEN_ID, result: undefined })
  } catch (error) {
    reply({ id: OPEN_ID, error: toPlainError(error) })
  }
}

port.on('message', (message: StoreThreadData | StoreRequest) => {
  if ('descriptor' in message) open(message)
  else if (store !== undefined) void answer(store, message)
})
