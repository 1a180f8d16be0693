import { exitNow } from './exit-now.js'
import { findSourcePath } from './find-source-path.js'
import { kernelMountTable } from './kernel-mount-table.js'
import { runDaemon } from './run-daemon.js'

await runDaemon({ table: kernelMountTable, findSourcePath, exitNow })
