import { exitNow } from '../../daemon/exit-now.js'
import { findSource } from '../../daemon/find-source.js'
import { kernelMountTable } from '../../daemon/kernel-mount-table.js'
import type { MountConfig } from '../../daemon/mount-config.js'
import type { ReadyReport } from '../../daemon/run-mount.js'
import { serveMount } from '../../daemon/serve-mount.js'
import { openSession } from '../../daemon/session.js'
import { EXIT } from '../exit-codes.js'

/** Serves the mount in this process until it ends; rejects with what went wrong. `secrets`: encoded keys. */
export async function serveForeground(config: MountConfig, secrets: Uint8Array, onReady: (report: ReadyReport) => void): Promise<void> {
  const { clean } = await serveMount(config, {
    table: kernelMountTable,
    session: openSession(),
    findSource,
    secrets,
    exitNow,
    stderrFile: undefined,
    onReady,
  })
  // A thread that waits in the kernel would keep the process.
  if (!clean) exitNow(EXIT.ok)
}
