import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** Which restore made a folder: kept on this host, outside of the folder, so that nothing strange lies in it. */
export interface RestoreRecord {
  /** What was restored, as a text that is the same for the same source. */
  readonly source: string
  /** ISO 8601, UTC. */
  readonly begun: string
}

/** Where records are: /var/lib/pbsfs for root, else the user's folder for state (XDG base directories). */
export function recordFolder(env: NodeJS.ProcessEnv = process.env, uid = process.geteuid?.() ?? 0): string {
  if (uid === 0) return '/var/lib/pbsfs/restores'
  const state = env['XDG_STATE_HOME']
  return join(state !== undefined && state.startsWith('/') ? state : join(homedir(), '.local/state'), 'pbsfs/restores')
}

/** The records of one user. */
export class RestoreRecords {
  readonly #folder: string

  constructor(folder: string = recordFolder()) {
    this.#folder = folder
  }

  /** Was this folder (canonical path, and device and inode) begun by a restore of the same source? */
  isKnown(path: Uint8Array, identity: string, source: string): boolean {
    try {
      const record = JSON.parse(readFileSync(this.#fileOf(path, identity), 'utf8')) as Partial<RestoreRecord> | null
      return record?.source === source
    } catch {
      return false
    }
  }

  /** Remembers it. False: it could not be written, and a later run will not know the folder. */
  add(path: Uint8Array, identity: string, source: string): boolean {
    const file = this.#fileOf(path, identity)
    const record: RestoreRecord = { source, begun: new Date().toISOString() }
    try {
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
      writeFileSync(`${file}.new`, JSON.stringify(record) + '\n', { mode: 0o600 })
      renameSync(`${file}.new`, file)
      return true
    } catch {
      return false
    }
  }

  #fileOf(path: Uint8Array, identity: string): string {
    const name = createHash('sha256').update(path).update(`\0${identity}`).digest('hex')
    return join(this.#folder, `${name.slice(0, 32)}.json`)
  }
}
