import { openSession } from './session.js'

// The thread and this module's other imports load at the same time.
const session = openSession()
const [{ exitNow }, { findSource }, { kernelMountTable }, { runDaemon }] = await Promise.all([
  import('./exit-now.js'),
  import('./find-source.js'),
  import('./kernel-mount-table.js'),
  import('./run-daemon.js'),
])

await runDaemon({ table: kernelMountTable, session, findSource, exitNow })
