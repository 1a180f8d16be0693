import { isPbsfsError } from './errors.js'

/**
 * Whether an error says that stored bytes are lost where they were looked for: missing, altered or
 * unreadable on the disk. Not so a missing key, a lack of permission, a chunk that is only elsewhere
 * (`evicted`), a store that is gone as a whole, and everything that trying again may heal.
 */
export function isDamage(error: unknown): boolean {
  if (!isPbsfsError(error)) return false
  switch (error.tag) {
    case 'integrity':
    case 'format':
    case 'truncated':
      return true
    case 'chunk-unavailable':
      return error.fields['evicted'] !== true
    case 'unsupported':
      return error.fields['digest'] !== undefined
    case 'source':
      return error.fields['code'] === 'EIO' || error.fields['code'] === 'ELOOP' || error.fields['code'] === 'ENXIO'
    case 'key':
    case 'busy':
    case 'node':
    case 'aborted':
    case 'mount':
    case 'target':
    case 'usage':
      return false
  }
}
