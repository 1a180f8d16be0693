import { createHash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { MAX_BLOB_SIZE } from '../bytes/limits.js'
import { asBuffer, hex } from '../bytes/names.js'
import { IntegrityError } from '../errors/errors.js'
import { parseBlob, verifyCrc, type Blob } from './data-blob.js'
import { decryptPayload, type BlobKey } from './decrypt.js'
import { decompressBounded, decompressExactly, decompressSteps, tooLong, wrongLength } from './zstd.js'

/**
 * Decrypts and decompresses into `dst`, which the content must fill exactly. `dst` may lie in
 * shared memory; after an error it holds rubbish. Checks neither CRC nor digest.
 */
export function decodePayloadInto(blob: Blob, dst: Uint8Array, key?: Pick<BlobKey, 'encKey'>): void {
  const inner = decryptPayload(blob, key)
  if (blob.compressed) return decompressExactly(blob, inner, dst)
  if (inner.length !== dst.length) throw wrongLength(blob, dst.length, inner.length)
  dst.set(inner)
}

/** The content of a blob of unknown length in memory of its own. Checks neither CRC nor digest. */
export function decodePayload(blob: Blob, maxSize: number = MAX_BLOB_SIZE, key?: Pick<BlobKey, 'encKey'>): Uint8Array {
  const inner = decryptPayload(blob, key)
  if (blob.compressed) return decompressBounded(blob, inner, maxSize)
  if (inner.length > maxSize) throw tooLong(blob, maxSize)
  return Uint8Array.prototype.slice.call(inner)
}

/**
 * A whole `*.blob` file: header, CRC, decryption, decompression. The result owns its memory and
 * has at most `maxSize` bytes. There is no digest here: the manifest has the SHA-256 of the file.
 */
export function decodeBlobFile(
  bytes: Uint8Array,
  name: string,
  maxSize: number = MAX_BLOB_SIZE,
  key?: Pick<BlobKey, 'encKey'>,
): Uint8Array {
  const blob = parseBlob(bytes, name)
  verifyCrc(blob)
  return decodePayload(blob, maxSize, key)
}

/** SHA-256 of the content, and of the id key behind it when the chunk is encrypted. */
export function chunkDigest(plain: Uint8Array, idKey?: Uint8Array): Buffer {
  const hash = createHash('sha256').update(plain)
  if (idKey !== undefined) hash.update(idKey)
  return hash.digest()
}

/** Throws IntegrityError unless `plain` is the content the digest stands for. */
export function verifyDigest(plain: Uint8Array, digest: Uint8Array, idKey?: Uint8Array): void {
  const actual = chunkDigest(plain, idKey)
  if (actual.equals(asBuffer(digest))) return
  const wanted = hex(digest)
  throw new IntegrityError(`chunk ${wanted}: content does not match its digest`, {
    stream: `chunk ${wanted}`,
    digest: wanted,
    expected: wanted,
    actual: hex(actual),
  })
}

/**
 * A chunk file, checked in every way: kind, CRC, decryption, exact length, digest. When this
 * returns, `dst` (also in shared memory) holds the content the digest stands for; when it throws,
 * `dst` holds rubbish. `encrypted` is what the manifest says about the archive the chunk is read
 * for; chunks of the other class are refused. undefined: either class will do.
 */
export function decodeChunk(
  bytes: Uint8Array,
  digest: Uint8Array,
  dst: Uint8Array,
  encrypted: boolean | undefined,
  key?: BlobKey,
): void {
  const blob = parseBlob(bytes, `chunk ${hex(digest)}`, digest)
  if (encrypted !== undefined) verifyClass(blob, encrypted)
  verifyCrc(blob)
  decodePayloadInto(blob, dst, key)
  verifyDigest(dst, digest, blob.encrypted ? key?.idKey : undefined)
}

/** An encrypted archive has only encrypted chunks, any other archive only plain ones. */
export function verifyClass(blob: Blob, encrypted: boolean): void {
  if (blob.encrypted === encrypted) return
  throw new IntegrityError(
    blob.encrypted
      ? `${blob.name}: encrypted chunk in an archive that is not encrypted`
      : `${blob.name}: plain chunk in an encrypted archive`,
    {
      stream: blob.name,
      ...(blob.digest === undefined ? {} : { digest: hex(blob.digest) }),
      offset: 0,
      expected: encrypted ? 'encrypted' : 'plain',
      actual: blob.encrypted ? 'encrypted' : 'plain',
    },
  )
}

/** As `decodeBlobFile`, giving the event loop a turn between the steps of a long decompression. */
export async function decodeBlobFileInSteps(
  bytes: Uint8Array,
  name: string,
  maxSize: number = MAX_BLOB_SIZE,
  key?: Pick<BlobKey, 'encKey'>,
): Promise<Uint8Array> {
  const blob = parseBlob(bytes, name)
  verifyCrc(blob)
  if (!blob.compressed) return decodePayload(blob, maxSize, key)
  const steps = decompressSteps(blob, decryptPayload(blob, key), maxSize)
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
    await nextTurn()
  }
}
