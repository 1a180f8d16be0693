/*
 * A mount with a session set up otherwise than the product does it: a file from memory, or a
 * store whose files are opened through the daemon. Prints `ready`, ends with the mount.
 */
import { openTree } from '#src/app/open-tree.js'
import { ProblemLog } from '#src/app/problem-log.js'
import { silentLog } from '#src/errors/log.js'
import { mountFuse } from '#src/fuse/mount.js'
import { raiseReadahead } from '#src/fuse/readahead.js'
import { FuseSession } from '#src/fuse/session.js'
import { resolveSource } from '#src/source/resolve-source.js'
import { compileLast } from '#src/posix/thread.js'
import { parseSource } from '#src/source/source-string.js'
import { MemoryTree } from './memory-tree.js'

export type ServeSetup = { readonly mountpoint: string } & (
  | { readonly kind: 'memory'; readonly name: string; readonly size: number; readonly memoryBytes: number }
  | { readonly kind: 'store'; readonly source: string; readonly cacheBytes: number; readonly noOpen: boolean }
)

// The product's threads do not keep a process alive while nobody waits in its event loop.
const alive = setInterval(() => undefined, 1000)
const setup = JSON.parse(process.argv[2]!) as ServeSetup
const mounted = await mountFuse({ mountpoint: Buffer.from(setup.mountpoint), source: 'bench' })

async function openSource() {
  if (setup.kind === 'memory') {
    // Every page is there before the first request; what it holds does not matter.
    const bytes = new Uint8Array(new SharedArrayBuffer(setup.memoryBytes)).fill(1)
    return { tree: new MemoryTree(setup.name, setup.size, bytes), cache: undefined, close: () => Promise.resolve() }
  }
  return openTree(await resolveSource(parseSource(Buffer.from(setup.source)), { cwd: Buffer.from('/') }), {
    cacheBytes: setup.cacheBytes,
    decoders: 2,
    replyFd: mounted.fd,
    log: silentLog,
    problems: new ProblemLog(),
    renderStatus: () => Promise.resolve(''),
  })
}

const source = await openSource()
const session = new FuseSession({
  fd: mounted.fd,
  tree: source.tree,
  options: { noOpen: setup.kind === 'memory' || setup.noOpen, pushMemory: source.cache?.memory },
  onReady: () => {
    raiseReadahead(mounted.mountpoint)
    compileLast()
    process.stdout.write('ready\n')
  },
})
await session.run()
await source.close()
clearInterval(alive)
