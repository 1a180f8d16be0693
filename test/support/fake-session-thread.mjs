// A session thread that serves an empty directory: enough for a real mount to answer.
// PBSFS_FAKE chooses another behaviour: fail, crash, exit, never, or throw-later.
import { read, writeSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'

const start = await new Promise((resolve) => parentPort.once('message', resolve))
const behaviour = process.env.PBSFS_FAKE ?? 'serve'
const [INIT, GETATTR, STATFS, FORGET, BATCH_FORGET, INTERRUPT] = [26, 3, 17, 2, 42, 36]
const request = Buffer.alloc(1024 * 1024 + 4096)
let ready = false

const status = {
  cache: { limitBytes: start.config.cacheBytes, usedBytes: 1024, chunks: 1, hits: 2, misses: 3 },
  requests: { total: 4, inFlight: 0, bytesRead: 5 },
  errors: { count: 0, recent: [] },
  sources: [],
}

parentPort.on('message', (message) => {
  if (message.type === 'status' && behaviour !== 'mute') parentPort.postMessage({ type: 'status', id: message.id, status })
  if (message.type === 'stop') end('stopped')
})

function end(reason) {
  parentPort.postMessage({ type: 'ended', reason })
  parentPort.close()
}

function reply(unique, error, body = Buffer.alloc(0)) {
  const header = Buffer.alloc(16)
  header.writeUInt32LE(16 + body.length, 0)
  header.writeInt32LE(error, 4)
  header.writeBigUInt64LE(unique, 8)
  try {
    writeSync(start.fd, Buffer.concat([header, body]))
  } catch (failure) {
    if (failure.code !== 'ENOENT') throw failure
  }
}

function answer(opcode, unique) {
  if (opcode === INIT) {
    const body = Buffer.alloc(64)
    body.writeUInt32LE(7, 0)
    body.writeUInt32LE(31, 4)
    body.writeUInt32LE(65536, 20)
    reply(unique, 0, body)
    if (behaviour === 'never') return
    ready = true
    parentPort.postMessage({ type: 'log', level: 'warn', message: 'fake session', fields: { name: 'a b' } })
    parentPort.postMessage({ type: 'ready' })
    if (behaviour === 'throw-later') setTimeout(() => { throw new Error('thrown later') }, 50) // prettier-ignore
  } else if (opcode === GETATTR) {
    const body = Buffer.alloc(104)
    body.writeBigUInt64LE(1n, 16)
    body.writeUInt32LE(0o40755, 76)
    body.writeUInt32LE(2, 80)
    reply(unique, 0, body)
  } else if (opcode === STATFS) reply(unique, 0, Buffer.alloc(80))
  else if (opcode !== FORGET && opcode !== BATCH_FORGET && opcode !== INTERRUPT) reply(unique, -38)
}

function next() {
  read(start.fd, request, 0, request.length, null, (error, length) => {
    if (error === null) {
      answer(request.readUInt32LE(4), request.readBigUInt64LE(8))
      next()
    } else if (error.code === 'ENODEV') end('unmounted')
    else if (error.code === 'EAGAIN' || error.code === 'EINTR' || error.code === 'ENOENT') setTimeout(next, 5)
    else end('aborted')
  })
}

if (behaviour === 'fail') {
  const error = { tag: 'format', message: 'no datastore', fields: { path: '/x\\x0a', offset: 8 } }
  parentPort.postMessage({ type: 'failed', error })
  parentPort.close()
} else if (behaviour === 'crash') throw new Error('crashed at the start')
else if (behaviour === 'exit') process.exit(3)
else next()
