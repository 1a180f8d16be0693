import { crc32 } from 'node:zlib'
import { viewOf } from '../bytes/le.js'
import { MAX_BLOB_SIZE, MAX_CHUNK_SIZE } from '../bytes/limits.js'
import { hex } from '../bytes/names.js'
import { FormatError, IntegrityError, TruncatedError, UnsupportedError, type ErrorFields } from '../errors/errors.js'

/*
 * The envelope of every chunk and every `*.blob` file, little-endian:
 *
 *   0   magic     8   the first 8 bytes of SHA-256 over a sentence
 *   8   crc       4   CRC-32 (zlib) over everything behind the header
 *  12   payload       plain kinds
 *  12   iv       16   encrypted kinds only
 *  28   tag      16   encrypted kinds only
 *  44   payload       encrypted kinds
 *
 * There is no length field: the payload ends where the file ends.
 */
export const PLAIN_HEADER_SIZE = 12
export const ENCRYPTED_HEADER_SIZE = 44
/** Largest chunk file, in bytes. */
export const MAX_CHUNK_FILE_SIZE = MAX_CHUNK_SIZE + ENCRYPTED_HEADER_SIZE
/** Largest `*.blob` file, in bytes. */
export const MAX_BLOB_FILE_SIZE = MAX_BLOB_SIZE + ENCRYPTED_HEADER_SIZE

const AT = { crc: 8, iv: 12, tag: 28 } as const

interface Kind {
  readonly encrypted: boolean
  readonly compressed: boolean
}

/** Magic as two u32 (low, high word as read little-endian), in the order of how often they occur. */
const KINDS: readonly (readonly [lo: number, hi: number, kind: Kind])[] = [
  [0x4258b931, 0x7fa3b66f, { encrypted: false, compressed: true }],
  [0xbf1b59e6, 0x0bd8bf0b, { encrypted: true, compressed: true }],
  [0x0738ab42, 0xa17083be, { encrypted: false, compressed: false }],
  [0xbe85677b, 0xf04c2d22, { encrypted: true, compressed: false }],
]

/** What else the first 8 bytes may be, for an error that helps. */
const OTHER_MAGICS: Readonly<Record<string, string>> = {
  '1f87eee291ce0502': 'an authenticated blob of a version before 0.8.0',
  '7ea60fbe911fa960': 'a compressed authenticated blob of a version before 0.8.0',
}
const INDEX_MAGICS: Readonly<Record<string, string>> = {
  '2f7f41ed91fd0fcd': 'a fixed index (.fidx)',
  '1c914ea519bab3cd': 'a dynamic index (.didx)',
}

/** A blob taken apart. All byte fields are views into the bytes it was parsed from. */
export interface Blob extends Kind {
  /** Path or `chunk <digest>`, for errors. */
  readonly name: string
  /** Digest of the chunk this is meant to be; absent for `*.blob` files. */
  readonly digest: Uint8Array | undefined
  readonly crc: number
  readonly headerSize: number
  /** Everything behind the header: what the CRC covers. */
  readonly payload: Uint8Array
  /** 16 bytes each, only of encrypted blobs. */
  readonly iv: Uint8Array | undefined
  readonly tag: Uint8Array | undefined
}

/**
 * Reads the header. Nothing of the payload is looked at: call `verifyCrc` before decoding it.
 * Throws TruncatedError (too short), UnsupportedError (obsolete kind), FormatError (not a blob).
 */
export function parseBlob(bytes: Uint8Array, name: string, digest?: Uint8Array): Blob {
  if (bytes.length < PLAIN_HEADER_SIZE) throw tooShort(bytes, name, digest, PLAIN_HEADER_SIZE)
  const view = viewOf(bytes)
  const kind = kindOf(view.getUint32(0, true), view.getUint32(4, true))
  if (kind === undefined) throw unknownMagic(bytes, name, digest)
  const headerSize = kind.encrypted ? ENCRYPTED_HEADER_SIZE : PLAIN_HEADER_SIZE
  if (bytes.length < headerSize) throw tooShort(bytes, name, digest, headerSize)
  return {
    name,
    digest,
    encrypted: kind.encrypted,
    compressed: kind.compressed,
    crc: view.getUint32(AT.crc, true),
    headerSize,
    payload: bytes.subarray(headerSize),
    iv: kind.encrypted ? bytes.subarray(AT.iv, AT.tag) : undefined,
    tag: kind.encrypted ? bytes.subarray(AT.tag, ENCRYPTED_HEADER_SIZE) : undefined,
  }
}

/** Compares the CRC of the payload with the header. It covers neither magic, nor IV, nor tag. */
export function verifyCrc(blob: Blob): void {
  const actual = crc32(blob.payload)
  if (actual === blob.crc) return
  throw new IntegrityError(`${blob.name}: CRC does not match, the data is damaged`, {
    ...blobFields(blob),
    offset: AT.crc,
    expected: hex32(blob.crc),
    actual: hex32(actual),
  })
}

/** The fields every error about this blob carries. */
export function blobFields(blob: { readonly name: string; readonly digest: Uint8Array | undefined }): ErrorFields {
  return { stream: blob.name, ...(blob.digest === undefined ? {} : { digest: hex(blob.digest) }) }
}

function kindOf(lo: number, hi: number): Kind | undefined {
  for (const [kindLo, kindHi, kind] of KINDS) if (lo === kindLo && hi === kindHi) return kind
  return undefined
}

function tooShort(bytes: Uint8Array, name: string, digest: Uint8Array | undefined, expected: number): TruncatedError {
  return new TruncatedError(`${name}: too short for a data blob (${bytes.length} of at least ${expected} bytes)`, {
    ...blobFields({ name, digest }),
    offset: bytes.length,
    expected,
    actual: bytes.length,
  })
}

function unknownMagic(bytes: Uint8Array, name: string, digest: Uint8Array | undefined): Error {
  const magic = hex(bytes.subarray(0, 8))
  const fields = { ...blobFields({ name, digest }), offset: 0, actual: magic }
  const obsolete = OTHER_MAGICS[magic]
  if (obsolete !== undefined) {
    return new UnsupportedError(`${name}: ${obsolete}, which is not supported`, { ...fields, feature: 'authenticated blob' })
  }
  const index = INDEX_MAGICS[magic]
  return new FormatError(`${name}: not a data blob${index === undefined ? '' : `, but ${index}`}`, {
    ...fields,
    expected: 'the magic of a data blob',
  })
}

function hex32(value: number): string {
  return value.toString(16).padStart(8, '0')
}
