// The daemon with a session thread that serves an empty directory.
import { exitNow } from '../../dist/daemon/exit-now.js'
import { kernelMountTable } from '../../dist/daemon/kernel-mount-table.js'
import { runDaemon } from '../../dist/daemon/run-daemon.js'
import { openSession } from '../../dist/daemon/session.js'

const script = new URL('./fake-session-thread.mjs', import.meta.url)
await runDaemon({
  table: kernelMountTable,
  findSource: (config) => {
    const path = Buffer.from(config.source.text, 'hex')
    return Promise.resolve({ paths: [path], shown: path.toString() })
  },
  exitNow,
  session: openSession(script),
})
