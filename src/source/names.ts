/** What names may look like in a datastore. All of them are ASCII. */

export type BackupType = 'vm' | 'ct' | 'host'
/** In the order in which groups are listed. */
export const BACKUP_TYPES: readonly BackupType[] = ['ct', 'host', 'vm']

const SAFE_ID = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/
const ARCHIVE_FILE = /^[A-Za-z0-9_][A-Za-z0-9._-]*\.(?:fidx|didx|blob)$/
/** Longest name a file system takes, in bytes. */
export const MAX_NAME_LENGTH = 255
/** Namespace levels below the root namespace. */
export const MAX_NAMESPACE_DEPTH = 7
/** Of a namespace written `a/b/c`, in bytes. */
export const MAX_NAMESPACE_LENGTH = 256

export const MANIFEST_NAME = 'index.json.blob'
export const CLIENT_LOG_NAME = 'client.log.blob'
export const CHUNK_FOLDER = '.chunks'

export function isBackupType(name: string): name is BackupType {
  return name === 'vm' || name === 'ct' || name === 'host'
}

/** Group ids, namespace components, store names. */
export function isSafeId(name: string): boolean {
  return name.length <= MAX_NAME_LENGTH && SAFE_ID.test(name)
}

/** Names of indices and blobs as they lie in a snapshot folder. */
export function isArchiveFileName(name: string): boolean {
  return name.length <= MAX_NAME_LENGTH && ARCHIVE_FILE.test(name)
}

/** Groups: numbers first, by value; then the rest, by bytes. */
export function compareIds(a: string, b: string): number {
  const numberA = /^[0-9]+$/.test(a)
  const numberB = /^[0-9]+$/.test(b)
  if (numberA !== numberB) return numberA ? -1 : 1
  if (numberA) {
    const difference = BigInt(a) - BigInt(b)
    if (difference !== 0n) return difference < 0n ? -1 : 1
  }
  return a < b ? -1 : a > b ? 1 : 0
}
