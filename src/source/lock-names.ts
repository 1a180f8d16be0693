import { createHash } from 'node:crypto'
import type { Namespace, SnapshotRef } from './datastore.js'

/** Names that become longer are cut and told apart by a digest. */
const MAX_ENCODED = 255
/** Of a cut name, bytes kept at either end. */
const KEPT = 80
const HASHED = 'hashed'

/** The name of a group, snapshot or manifest as its lock is called: `vm/100/2022-05-02T08:11:33Z`. */
export function lockSubject({ group, time }: SnapshotRef): string {
  return `${group.type}/${group.id}/${time}`
}

/**
 * Folders and name of a lock file below `locks/STORE`, as servers from 3.3.5 on name them. ASCII;
 * no part is `.` or `..`.
 */
export function lockFileParts(ns: Namespace, subject: string): string[] {
  const folders = ns.length === 0 ? [] : [ns.join(':')]
  const name = encodeName(subject)
  if (name.length < MAX_ENCODED) return [...folders, name]
  const digest = createHash('sha256').update(subject).digest('hex')
  return [...folders, HASHED, `${name.slice(0, KEPT)}...${name.slice(-KEPT)}-${digest}`]
}

/** The path escape of systemd. */
function encodeName(subject: string): string {
  let out = ''
  for (const [i, char] of [...subject].entries()) {
    if (char === '/') out += '-'
    else if (/[A-Za-z0-9_]/.test(char) || (char === '.' && i > 0)) out += char
    else out += `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`
  }
  return out
}
