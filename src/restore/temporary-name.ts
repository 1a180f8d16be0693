import { randomBytes } from 'node:crypto'

const PREFIX = '.pbsfs-restore.'
const TEMPORARY = /^\.pbsfs-restore\.[0-9a-f]{16}$/

/** A name for what is being written, of this run alone. */
export function temporaryName(): Buffer {
  return Buffer.from(PREFIX + randomBytes(8).toString('hex'))
}

/** Was this name given to a file that was being written? */
export function isTemporary(name: Uint8Array): boolean {
  return TEMPORARY.test(Buffer.from(name).toString('latin1'))
}
