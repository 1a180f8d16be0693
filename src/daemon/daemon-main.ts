import { exitNow } from './exit-now.js'
import { findSource } from './find-source.js'
import { kernelMountTable } from './kernel-mount-table.js'
import { runDaemon } from './run-daemon.js'

await runDaemon({ table: kernelMountTable, findSource, exitNow })
