import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { readProcessId } from './process-id.js'
import { openRuntimeFolder } from './runtime-folder.js'

const SOCKET_NAME = /^(?:nbd|vnc)-(\d{1,10})\.sock$/

/** A socket of this process in the runtime folder, which is made. Those of processes that are gone are removed. */
export function ownNbdSocket(): string {
  const folder = openRuntimeFolder()
  for (const name of readdirSync(folder)) {
    const pid = SOCKET_NAME.exec(name)?.[1]
    if (pid !== undefined && (Number(pid) === process.pid || readProcessId(Number(pid)) === undefined)) rmSync(join(folder, name), { force: true })
  }
  return join(folder, `nbd-${process.pid}.sock`)
}

/** Where the screen of a machine of this process is shown, in the runtime folder; `ownNbdSocket` removes it, too. */
export function ownScreenSocket(): string {
  return join(openRuntimeFolder(), `vnc-${process.pid}.sock`)
}
