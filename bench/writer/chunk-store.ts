import { createHash } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, writevSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import zstd from 'zstd-napi/binding.js'

const MAGIC_PLAIN = Buffer.from('42ab3807be8370a1', 'hex')
const MAGIC_ZSTD = Buffer.from('31b958426fb6a37f', 'hex')
const LEVEL = 1

/** A data blob as clients write them: compressed where that makes it smaller. */
export function encodeBlob(plain: Uint8Array): Buffer[] {
  const out = Buffer.allocUnsafe(zstd.compressBound(plain.length))
  const packed = out.subarray(0, zstd.compress(out, plain, LEVEL))
  const isSmaller = packed.length < plain.length
  const body = isSmaller ? packed : Buffer.from(plain.buffer, plain.byteOffset, plain.length)
  const header = Buffer.alloc(12)
  header.set(isSmaller ? MAGIC_ZSTD : MAGIC_PLAIN)
  header.writeUInt32LE(crc32(body), 8)
  return [header, body]
}

/** The chunks of a datastore. */
export class ChunkStore {
  readonly #folder: string
  readonly #prefixes = new Set<string>()

  constructor(storePath: string) {
    this.#folder = join(storePath, '.chunks')
    mkdirSync(this.#folder, { recursive: true })
  }

  /** Stores a chunk unless it is there; its digest. */
  put(plain: Uint8Array): Buffer {
    const digest = createHash('sha256').update(plain).digest()
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
      writevSync(fd, encodeBlob(plain))
    } finally {
      closeSync(fd)
    }
    return digest
  }
}
