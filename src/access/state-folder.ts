import { homedir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'

/** What decides where state is kept; a parameter so that tests need no other user. */
export interface StateEnvironment {
  readonly uid: number
  readonly xdgStateHome: string | undefined
  readonly home: string
}

export function stateEnvironment(env: NodeJS.ProcessEnv): StateEnvironment {
  return { uid: process.geteuid?.() ?? 0, xdgStateHome: env['XDG_STATE_HOME'], home: env['HOME'] ?? homedir() }
}

/**
 * The folder for what must outlive a reboot, outside of any store: `given`, else `/var/lib/pbsfs` for root, else
 * `pbsfs` in XDG_STATE_HOME (`~/.local/state`). Absolute; need not be there.
 */
export function stateFolder(given: string | undefined, { uid, xdgStateHome, home }: StateEnvironment): string {
  if (given !== undefined) return resolve(given)
  if (uid === 0) return '/var/lib/pbsfs'
  const base = xdgStateHome !== undefined && isAbsolute(xdgStateHome) ? xdgStateHome : join(home, '.local/state')
  return join(base, 'pbsfs')
}
