import { isUtf8 } from 'node:buffer'
import { asBuffer } from '../bytes/names.js'

/**
 * The library passes names as JavaScript strings. A name that is not UTF-8 does not survive that, so
 * it is shown with `\xNN` for every byte above 0x7f and for backslashes, and found under that.
 */

/** What the library makes of a byte that is not UTF-8. */
const REPLACEMENT = '\ufffd'

/** A name as it is shown; it stays as it is when it is UTF-8. */
export function showName(bytes: Uint8Array): string {
  if (isUtf8(bytes)) return asBuffer(bytes).toString('utf8')
  let shown = ''
  for (const byte of bytes) shown += byte < 0x80 && byte !== 0x5c ? String.fromCharCode(byte) : `\\x${hexByte(byte)}`
  return shown
}

/** The bytes of the name that is not UTF-8 and is shown as `shown`; undefined: there is none. */
export function hiddenName(shown: string): Buffer | undefined {
  if (!shown.includes('\\x')) return undefined
  const bytes = Buffer.from(
    shown.replace(/\\x([0-9a-f]{2})/g, (_all, digits: string) => String.fromCharCode(parseInt(digits, 16))),
    'latin1',
  )
  return !isUtf8(bytes) && showName(bytes) === shown ? bytes : undefined
}

/** Whether bytes of the name may have been lost on the way here. */
export function isLossy(name: string): boolean {
  return name.includes(REPLACEMENT)
}

function hexByte(byte: number): string {
  return byte.toString(16).padStart(2, '0')
}
