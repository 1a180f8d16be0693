import { createCipheriv, createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'

const KEY_SIZE = 32
const IV_SIZE = 16

/** The key of an encrypted backup. */
export class BackupKey {
  readonly #key: Buffer
  readonly #idKey: Buffer

  constructor(seed: string) {
    this.#key = createHash('sha256').update(seed).digest().subarray(0, KEY_SIZE)
    this.#idKey = pbkdf2Sync(this.#key, '_id_key', 10, KEY_SIZE, 'sha256')
  }

  /** IV, tag and ciphertext of a blob's body. */
  encrypt(body: Uint8Array): { readonly head: Buffer; readonly body: Buffer } {
    const iv = randomBytes(IV_SIZE)
    const cipher = createCipheriv('aes-256-gcm', this.#key, iv)
    const encrypted = Buffer.concat([cipher.update(body), cipher.final()])
    return { head: Buffer.concat([iv, cipher.getAuthTag()]), body: encrypted }
  }

  /** Digest of a chunk: that of its content and the key. */
  digest(plain: Uint8Array): Buffer {
    return createHash('sha256').update(plain).update(this.#idKey).digest()
  }

  /** Signature of a manifest. */
  sign(manifest: object): string {
    return createHmac('sha256', this.#idKey).update(JSON.stringify(sortKeys(manifest))).digest('hex')
  }

  /** A key file without a password. */
  toFile(): string {
    const time = '2026-01-01T00:00:00+00:00'
    return JSON.stringify({ kdf: null, created: time, modified: time, data: this.#key.toString('base64') })
  }
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([name, item]) => [name, sortKeys(item)]))
}
