import { parentPort } from 'node:worker_threads'
import { SpareThreads } from '../app/spare-threads.js'
import { nameThread } from '../posix/thread.js'

/*
 * The thread that answers the kernel: opens the source, makes the tree, runs the session. The
 * main thread owns the mount; this one only ever sees the device. It is started before there is
 * anything to mount: its modules are loaded by then, and so are those of the threads it will need.
 */
nameThread('pbsfs-session')
const spares = new SpareThreads()
const { serveKernelSession } = await import('./serve-kernel-session.js')
await serveKernelSession(parentPort!, spares)
