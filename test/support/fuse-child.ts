/**
 * A daemon for mount tests: mounts a small tree from memory and prints `ready`. Lines on its
 * standard input: `stop`, `unmount`, `add NAME` (to the live directory), `stats`, `calls`.
 */
import { createInterface } from 'node:readline'
import { Worker } from 'node:worker_threads'
import type { DirectReply, ReadAt } from '#src/bytes/read-at.js'
import { mountFuse, unmount } from '#src/fuse/mount.js'
import { parseMountOptions } from '#src/fuse/mount-options.js'
import { raiseReadahead } from '#src/fuse/readahead.js'
import { FuseSession } from '#src/fuse/session.js'
import { dir, FakeTree, file, link, MemoryStream, S_IFREG } from './fake-tree.js'

export interface ChildSetup {
  readonly mountpoint: string
  readonly mountOptions?: string[]
  readonly session?: Record<string, unknown>
  readonly delayMs?: number
  readonly manyFiles?: number
  readonly slowWaiting?: boolean
}

const setup = JSON.parse(process.argv[2] ?? '{}') as ChildSetup

export const SPARSE_SIZE = 4 << 20
const sparse = Buffer.alloc(SPARSE_SIZE)
sparse.fill('data', 1 << 20, (1 << 20) + 8192)

const big = Buffer.alloc(3_000_001)
for (let i = 0; i < big.length; i++) big[i] = (i * 2654435761) >>> 24

const many: Record<string, ReturnType<typeof file>> = {}
for (let i = 0; i < (setup.manyFiles ?? 0); i++) many[`file-${String(i).padStart(6, '0')}`] = file(`content ${i}\n`)

const live = dir({ first: file('1\n', { ttl: 1 }) }, { ttl: 1, negativeTtl: 0, attr: { mtimeSec: 1000 } })
const shared = file('two names\n', { attr: { nlink: 2 } })
/** Bytes that a thread of its own writes into the device, behind the header it is given. */
let deviceFd = -1
const replies = new Map<number, DirectReply>()
let sender: Worker | undefined
const delivered: ReadAt = {
  name: 'delivered',
  size: big.length,
  peek: () => undefined,
  read: () => Promise.reject(new Error('not this way')),
  deliver(offset, length, reply) {
    sender ??= startSender()
    const id = replies.size
    replies.set(id, reply)
    sender.postMessage({ id, offset, length, header: reply.header })
  },
}

function startSender(): Worker {
  const shared = new SharedArrayBuffer(big.length)
  new Uint8Array(shared).set(big)
  const code = `const { parentPort, workerData } = require('node:worker_threads')
    const data = new Uint8Array(workerData.shared)
    parentPort.on('message', ({ id, offset, length, header }) => {
      require('node:fs').writevSync(workerData.deviceFd, [header, data.subarray(offset, offset + length)])
      parentPort.postMessage(id)
    })`
  const worker = new Worker(code, { eval: true, workerData: { shared, deviceFd } })
  worker.on('message', (id: number) => replies.get(id)?.done())
  worker.unref()
  return worker
}

const tree = new FakeTree(
  dir({
    'hello.txt': file('hello world\n', {
      xattrs: { 'user.comment': Buffer.from('a note'), 'user.empty': Buffer.alloc(0) },
      attr: { mtimeSec: -5, mtimeNsec: 123456789, uid: 1234, gid: 4321 },
    }),
    'big.bin': file(big),
    'slow.bin': { mode: S_IFREG | 0o600, stream: new MemoryStream(big, true) },
    'delivered.bin': { mode: S_IFREG | 0o644, stream: delivered },
    'sparse.img': file(sparse, { attr: { blocks: 16 } }),
    empty: file(''),
    link: link('sub/deep/leaf'),
    sub: dir({ deep: dir({ leaf: file('leaf\n') }) }),
    one: shared,
    two: shared,
    'caf\xe9\n\x01': file('odd name\n'),
    null: { mode: 0o020666, attr: { major: 1, minor: 3 } },
    live,
    many: dir(many),
  }),
  setup.delayMs,
)

// A name whose lookup is never answered.
const lookup = tree.lookup.bind(tree)
tree.lookup = (parent, name) => (Buffer.from(name).toString() === 'stuck' ? new Promise(() => {}) : lookup(parent, name))

const log = (level: string) => (message: string, fields?: object) => {
  process.stderr.write(`${level}: ${message} ${JSON.stringify(fields ?? {})}\n`)
}
const mounted = await mountFuse({
  mountpoint: Buffer.from(setup.mountpoint),
  source: 'test, tree',
  options: parseMountOptions(setup.mountOptions ?? []),
})
deviceFd = mounted.fd
const session = new FuseSession({
  fd: mounted.fd,
  tree,
  options: setup.session,
  gate: { forceFallback: setup.slowWaiting === true },
  log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
  onReady: () => {
    raiseReadahead(mounted.mountpoint)
    process.stdout.write(`ready ${mounted.method}\n`)
  },
})

const input = createInterface({ input: process.stdin })
input.on('line', (line) => {
  const [command, argument] = line.split(' ')
  if (command === 'stop') session.stop()
  else if (command === 'unmount') unmount(mounted.mountpoint).catch((error: unknown) => process.stdout.write(`${String(error)}\n`))
  else if (command === 'add') {
    live.children!.set(argument!, file(`${argument}\n`, { ttl: 1 }))
    live.attr = { mtimeSec: live.attr!.mtimeSec! + 1 }
    process.stdout.write('added\n')
  } else if (command === 'stats') process.stdout.write(JSON.stringify(session.stats()) + '\n')
  else if (command === 'calls') process.stdout.write(JSON.stringify(tree.calls.splice(0)) + '\n')
})

const end = await session.run()
process.stdout.write(`end ${end}\n`)
input.close()
process.stdin.destroy()
