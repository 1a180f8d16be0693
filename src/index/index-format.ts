import { createHash } from 'node:crypto'
import { viewOf } from '../bytes/le.js'
import { hex } from '../bytes/names.js'
import { FormatError, TruncatedError } from '../errors/errors.js'

/*
 * Header of both index kinds, one page, little-endian; the entries follow, nothing follows them:
 *
 *   0   magic        8
 *   8   uuid        16
 *  24   ctime        8   i64, Unix seconds
 *  32   index csum  32   not authenticated by anything, zero when the index was never closed
 *  64   size         8   fixed only: length of the image
 *  72   chunk size   8   fixed only
 */
export const INDEX_HEADER_SIZE = 4096
export const DIGEST_SIZE = 32
/** A fixed index of 64 TiB in 4 MiB chunks is half of this. */
export const MAX_INDEX_FILE_SIZE = 1024 * 1024 * 1024

const AT = { ctime: 24 } as const

const MAGIC = { fixed: '2f7f41ed91fd0fcd', dynamic: '1c914ea519bab3cd' } as const
export type IndexKind = keyof typeof MAGIC

const EXTENSION: Readonly<Record<IndexKind, string>> = { fixed: '.fidx', dynamic: '.didx' }

/** What the first bytes of a file say it is; undefined: not an index. */
export function detectIndexKind(bytes: Uint8Array): IndexKind | undefined {
  const magic = hex(bytes.subarray(0, 8))
  return magic === MAGIC.fixed ? 'fixed' : magic === MAGIC.dynamic ? 'dynamic' : undefined
}

/** Checks length, magic and that the extension of `name`, when it is one of an index, agrees. */
export function checkIndexHeader(bytes: Uint8Array, name: string, kind: IndexKind): void {
  if (bytes.length < INDEX_HEADER_SIZE) {
    throw new TruncatedError(`${name}: truncated index (${bytes.length} bytes, the header alone has ${INDEX_HEADER_SIZE})`, {
      stream: name,
      offset: bytes.length,
      expected: `at least ${INDEX_HEADER_SIZE} bytes`,
      actual: `${bytes.length} bytes`,
    })
  }
  const actual = hex(bytes.subarray(0, 8))
  const found = detectIndexKind(bytes)
  if (found !== kind) {
    throw new FormatError(`${name}: not a ${kind} index${found === undefined ? ', unknown magic' : `, but a ${found} one`}`, {
      stream: name,
      offset: 0,
      expected: MAGIC[kind],
      actual,
    })
  }
  const other = EXTENSION[kind === 'fixed' ? 'dynamic' : 'fixed']
  if (name.endsWith(other)) {
    throw new FormatError(`${name}: is a ${kind} index, its name says otherwise`, {
      stream: name,
      offset: 0,
      expected: `the magic of a ${other} file`,
      actual,
    })
  }
}

/** Header field, Unix seconds; may be any 64-bit number, outside ±2^53 it is imprecise. */
export function readCtime(bytes: Uint8Array): number {
  const view = viewOf(bytes)
  return view.getInt32(AT.ctime + 4, true) * 2 ** 32 + view.getUint32(AT.ctime, true)
}

/** SHA-256 over the entries, hex. */
export function entriesCsum(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes.subarray(INDEX_HEADER_SIZE)).digest('hex')
}

export function indexError(name: string, problem: string, offset: number, expected: string, actual: string | number): FormatError {
  return new FormatError(`${name}: ${problem}`, { stream: name, offset, expected, actual })
}
