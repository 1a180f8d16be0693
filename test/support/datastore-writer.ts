import { createCipheriv, createHash } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import zstd from 'zstd-napi/binding.js'

/*
 * Writes small datastores for tests: chunks and blobs of every kind, indices, manifests, groups,
 * namespaces. The counterpart of what the product only reads; written from the format alone.
 */

const MAGIC = {
  plain: '42ab3807be8370a1',
  zstd: '31b958426fb6a37f',
  encrypted: '7b6785be222d4cf0',
  'encrypted-zstd': 'e6591bbf0bbfd80b',
  fidx: '2f7f41ed91fd0fcd',
  didx: '1c914ea519bab3cd',
} as const

export type BlobKind = 'plain' | 'zstd' | 'encrypted' | 'encrypted-zstd'

export interface TestKey {
  encKey: Uint8Array
  idKey: Uint8Array
}

/** The key 00 01 .. 1f with its id key. */
export const testKey: TestKey = {
  encKey: Uint8Array.from({ length: 32 }, (_, i) => i),
  idKey: Buffer.from('7c2c013efd07f3b25717a485263343cd4d292a4b65c200bb3b18ea227abe225c', 'hex'),
}
const TEST_IV = Uint8Array.from({ length: 16 }, (_, i) => 0xa0 + i)

export interface BlobOptions {
  key?: TestKey
  iv?: Uint8Array
  /** zstd frame without content size, as servers before 3.2.8 wrote. */
  withoutContentSize?: boolean
  /** Several frames of about equal size. */
  frames?: number
}

export function compressZstd(plain: Uint8Array, options: BlobOptions = {}): Buffer {
  const frames = options.frames ?? 1
  const step = Math.ceil(plain.length / frames)
  const parts: Buffer[] = []
  for (let i = 0; i < frames; i++) {
    const part = plain.subarray(i * step, Math.min((i + 1) * step, plain.length))
    const out = Buffer.alloc(zstd.compressBound(part.length) + 32)
    const context = new zstd.CCtx()
    if (options.withoutContentSize) {
      // Ending the frame in a second call keeps the content size out of the header.
      context.setParameter(zstd.CParameter.contentSizeFlag, 0)
      const [, wrote] = context.compressStream2(out, part, zstd.EndDirective.continue)
      const [left, more] = context.compressStream2(out.subarray(wrote), Buffer.alloc(0), zstd.EndDirective.end)
      if (left !== 0) throw new Error('test encoder: output too small')
      parts.push(out.subarray(0, wrote + more))
    } else {
      parts.push(out.subarray(0, context.compress(out, part, 1)))
    }
  }
  return Buffer.concat(parts)
}

/** One data blob of the kind asked for, whether or not compression pays. */
export function encodeBlob(plain: Uint8Array, kind: BlobKind = 'zstd', options: BlobOptions = {}): Buffer {
  const inner = kind.endsWith('zstd') ? compressZstd(plain, options) : Buffer.from(plain)
  return encodeRawBlob(inner, kind, options)
}

/** A blob around a payload that is taken as it is (already compressed, or damaged on purpose). */
export function encodeRawBlob(inner: Uint8Array, kind: BlobKind, options: BlobOptions = {}): Buffer {
  const magic = Buffer.from(MAGIC[kind], 'hex')
  const crc = Buffer.alloc(4)
  if (!kind.startsWith('encrypted')) {
    crc.writeUInt32LE(crc32(inner))
    return Buffer.concat([magic, crc, inner])
  }
  const iv = options.iv ?? TEST_IV
  const cipher = createCipheriv('aes-256-gcm', (options.key ?? testKey).encKey, iv)
  const body = Buffer.concat([cipher.update(inner), cipher.final()])
  crc.writeUInt32LE(crc32(body))
  return Buffer.concat([magic, crc, iv, cipher.getAuthTag(), body])
}

export function digestOf(plain: Uint8Array, key?: TestKey): Buffer {
  const hash = createHash('sha256').update(plain)
  if (key !== undefined) hash.update(key.idKey)
  return hash.digest()
}

export interface IndexOptions {
  ctime?: number
  uuid?: Uint8Array
  chunkSize?: number
}

function encodeIndexHeader(magic: string, entries: Uint8Array, options: IndexOptions): Buffer {
  const header = Buffer.alloc(4096)
  header.write(magic, 0, 'hex')
  header.set(options.uuid ?? Uint8Array.from({ length: 16 }, (_, i) => i), 8)
  header.writeBigInt64LE(BigInt(options.ctime ?? 1728307931), 24)
  header.set(createHash('sha256').update(entries).digest(), 32)
  return header
}

export function encodeFixedIndex(size: number, digests: readonly Uint8Array[], options: IndexOptions = {}): Buffer {
  const entries = Buffer.concat(digests)
  const header = encodeIndexHeader(MAGIC.fidx, entries, options)
  header.writeBigUInt64LE(BigInt(size), 64)
  header.writeBigUInt64LE(BigInt(options.chunkSize ?? 4 * 1024 * 1024), 72)
  return Buffer.concat([header, entries])
}

export function encodeDynamicIndex(entries: readonly { end: number | bigint; digest: Uint8Array }[], options: IndexOptions = {}): Buffer {
  const packed = Buffer.concat(
    entries.map(({ end, digest }) => {
      const at = Buffer.alloc(8)
      at.writeBigUInt64LE(BigInt(end))
      return Buffer.concat([at, digest])
    }),
  )
  return Buffer.concat([encodeIndexHeader(MAGIC.didx, packed, options), packed])
}

export function indexCsum(index: Uint8Array): string {
  return createHash('sha256').update(index.subarray(4096)).digest('hex')
}

export interface ManifestEntry {
  filename: string
  size: number
  csum: string
  'crypt-mode'?: string
}

/** JSON as the server writes it: two spaces, keys sorted. */
export function encodeManifestJson(value: unknown): Buffer {
  const sort = (item: unknown): unknown =>
    Array.isArray(item)
      ? item.map(sort)
      : item !== null && typeof item === 'object'
        ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => [k, sort(v)]))
        : item
  return Buffer.from(JSON.stringify(sort(value), null, 2))
}

export interface GroupPlace {
  ns?: readonly string[]
  type: 'vm' | 'ct' | 'host'
  id: string
}

export interface SnapshotOptions {
  unprotected?: Record<string, unknown>
  signature?: string | null
  protected?: boolean
  /** Leave the manifest out: a backup that is still running. */
  unfinished?: boolean
  manifest?: Uint8Array
}

export function groupPath(place: GroupPlace): string {
  return join(...(place.ns ?? []).flatMap((name) => ['ns', name]), place.type, place.id)
}

/** A datastore directory that grows as it is written to. */
export class DatastoreWriter {
  readonly path: string

  constructor(path: string) {
    this.path = path
    mkdirSync(join(path, '.chunks'), { recursive: true })
  }

  write(relative: string, bytes: Uint8Array | string): string {
    const path = join(this.path, relative)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, bytes)
    return path
  }

  chunkPath(digest: Uint8Array): string {
    const name = Buffer.from(digest).toString('hex')
    return join(this.path, '.chunks', name.slice(0, 4), name)
  }

  /** Stores a chunk and answers its digest. */
  addChunk(plain: Uint8Array, kind: BlobKind = 'zstd', options: BlobOptions = {}): Buffer {
    const digest = digestOf(plain, kind.startsWith('encrypted') ? (options.key ?? testKey) : undefined)
    const path = this.chunkPath(digest)
    if (!existsSync(path)) {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, encodeBlob(plain, kind, options))
    }
    return digest
  }

  addGroup(place: GroupPlace, owner = 'root@pam', notes?: string): void {
    this.write(join(groupPath(place), 'owner'), `${owner}\n`)
    if (notes !== undefined) this.write(join(groupPath(place), 'notes'), notes)
  }

  snapshot(place: GroupPlace, time: string): SnapshotWriter {
    if (!existsSync(join(this.path, groupPath(place), 'owner'))) this.addGroup(place)
    return new SnapshotWriter(this, place, time)
  }
}

/** A snapshot being written; the manifest comes with `finish`. */
export class SnapshotWriter {
  readonly files: ManifestEntry[] = []
  readonly relative: string
  readonly #store: DatastoreWriter
  readonly #place: GroupPlace
  readonly #time: string

  constructor(store: DatastoreWriter, place: GroupPlace, time: string) {
    this.#store = store
    this.#place = place
    this.#time = time
    this.relative = join(groupPath(place), time)
    mkdirSync(join(store.path, this.relative), { recursive: true })
  }

  addFile(filename: string, bytes: Uint8Array, size: number, csum: string, cryptMode = 'none'): void {
    this.#store.write(join(this.relative, filename), bytes)
    this.files.push({ filename, size, csum, 'crypt-mode': cryptMode })
  }

  addBlob(filename: string, plain: Uint8Array, kind: BlobKind = 'zstd', options: BlobOptions = {}): void {
    const bytes = encodeBlob(plain, kind, options)
    const csum = createHash('sha256').update(bytes).digest('hex')
    this.addFile(filename, bytes, bytes.length, csum, kind.startsWith('encrypted') ? 'encrypt' : 'none')
  }

  /** A `.fidx` of `plain` cut into chunks of `chunkSize`. */
  addImage(filename: string, plain: Uint8Array, chunkSize = 65536, kind: BlobKind = 'zstd', options: BlobOptions = {}): void {
    const digests: Buffer[] = []
    for (let at = 0; at < plain.length; at += chunkSize) {
      digests.push(this.#store.addChunk(plain.subarray(at, at + chunkSize), kind, options))
    }
    const index = encodeFixedIndex(plain.length, digests, { chunkSize })
    this.addFile(filename, index, plain.length, indexCsum(index), kind.startsWith('encrypted') ? 'encrypt' : 'none')
  }

  /** A `.didx` of the given pieces, one chunk each. */
  addStream(filename: string, pieces: readonly Uint8Array[], kind: BlobKind = 'zstd', options: BlobOptions = {}): void {
    let end = 0
    const entries = pieces.map((piece) => ({ end: (end += piece.length), digest: this.#store.addChunk(piece, kind, options) }))
    const index = encodeDynamicIndex(entries)
    this.addFile(filename, index, end, indexCsum(index), kind.startsWith('encrypted') ? 'encrypt' : 'none')
  }

  manifestJson(options: SnapshotOptions = {}): Buffer {
    return encodeManifestJson({
      'backup-type': this.#place.type,
      'backup-id': this.#place.id,
      'backup-time': Math.floor(Date.parse(this.#time) / 1000),
      files: this.files,
      signature: options.signature ?? null,
      unprotected: options.unprotected ?? {},
    })
  }

  finish(options: SnapshotOptions = {}): void {
    if (options.protected) this.#store.write(join(this.relative, '.protected'), '')
    if (options.unfinished) return
    const json = options.manifest ?? this.manifestJson(options)
    this.#store.write(join(this.relative, 'index.json.blob'), encodeBlob(json, 'zstd'))
  }
}
