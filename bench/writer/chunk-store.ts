import { createHash } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, writevSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import zstd from 'zstd-napi/binding.js'
import type { BackupKey } from './cipher.js'

const MAGIC_PLAIN = Buffer.from('42ab3807be8370a1', 'hex')
const MAGIC_ZSTD = Buffer.from('31b958426fb6a37f', 'hex')
const MAGIC_ENCRYPTED = Buffer.from('7b6785be222d4cf0', 'hex')
const MAGIC_ENCRYPTED_ZSTD = Buffer.from('e6591bbf0bbfd80b', 'hex')
const LEVEL = 1

/** A data blob as clients write them: compressed where that makes it smaller, then encrypted if there is a key. */
export function encodeBlob(plain: Uint8Array, key?: BackupKey): Buffer[] {
  const out = Buffer.allocUnsafe(zstd.compressBound(plain.length))
  const packed = out.subarray(0, zstd.compress(out, plain, LEVEL))
  const isSmaller = packed.length < plain.length
  const body = isSmaller ? packed : Buffer.from(plain.buffer, plain.byteOffset, plain.length)
  if (key !== undefined) {
    const encrypted = key.encrypt(body)
    return [header(isSmaller ? MAGIC_ENCRYPTED_ZSTD : MAGIC_ENCRYPTED, encrypted.body), encrypted.head, encrypted.body]
  }
  return [header(isSmaller ? MAGIC_ZSTD : MAGIC_PLAIN, body), body]
}

function header(magic: Buffer, body: Uint8Array): Buffer {
  const bytes = Buffer.alloc(12)
  bytes.set(magic)
  bytes.writeUInt32LE(crc32(body), 8)
  return bytes
}

/** The chunks of a datastore. */
export class ChunkStore {
  readonly #folder: string
  readonly #prefixes = new Set<string>()
  readonly #key: BackupKey | undefined

  /** `key`: chunks are encrypted with it. */
  constructor(storePath: string, key?: BackupKey) {
    this.#key = key
    this.#folder = join(storePath, '.chunks')
    mkdirSync(this.#folder, { recursive: true })
  }

  /** Stores a chunk unless it is there; its digest. */
  put(plain: Uint8Array): Buffer {
    const digest = this.#key?.digest(plain) ?? createHash('sha256').update(plain).digest()
    const name = digest.toString('hex')
    const prefix = join(this.#folder, name.slice(0, 4))
    if (!this.#prefixes.has(prefix)) {
      mkdirSync(prefix, { recursive: true })
      this.#prefixes.add(prefix)
    }
    const path = join(prefix, name)
    if (existsSync(path)) return digest
    const fd = openSync(path, 'wx')
    try {
      writevSync(fd, encodeBlob(plain, this.#key))
    } finally {
      closeSync(fd)
    }
    return digest
  }
}
