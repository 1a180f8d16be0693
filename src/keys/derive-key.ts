import { pbkdf2 } from '@noble/hashes/pbkdf2.js'
import { scrypt } from '@noble/hashes/scrypt.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { KEY_SIZE } from './encryption-key.js'

/** How a password protects a key. */
export type Kdf =
  | { readonly kind: 'scrypt'; readonly n: number; readonly r: number; readonly p: number; readonly salt: Uint8Array }
  | { readonly kind: 'pbkdf2'; readonly iterations: number; readonly salt: Uint8Array }

/** Memory scrypt may take, in bytes: the vendor's own limit. Its default takes 64 MiB. */
const MAX_SCRYPT_MEMORY = 1025 * 1024 * 1024
/** n*r*p: about a minute, 128 times the vendor's default. */
const MAX_SCRYPT_WORK = 2 ** 26
/** Some ten seconds; the vendor's default is 65535. */
const MAX_PBKDF2_ITERATIONS = 10_000_000
const MAX_SALT_SIZE = 1024

/** What is wrong with the parameters; undefined: a key can be derived, in bounded time and memory. */
export function findKdfProblem(kdf: Kdf): string | undefined {
  if (kdf.salt.length > MAX_SALT_SIZE) return `the salt has ${kdf.salt.length} bytes`
  if (kdf.kind === 'pbkdf2') {
    const { iterations } = kdf
    return iterations >= 1 && iterations <= MAX_PBKDF2_ITERATIONS ? undefined : `${iterations} iterations of PBKDF2`
  }
  const { n, r, p } = kdf
  // 2^31 keeps the products below exact, and `n & (n - 1)` a test for a power of two.
  if (n < 2 || n >= 2 ** 31 || (n & (n - 1)) !== 0) return `scrypt with n=${n}, which is no power of two`
  if (r < 1 || p < 1 || r * p >= 2 ** 30) return `scrypt with r=${r}, p=${p}`
  if (n * r * 128 + r * p * 128 > MAX_SCRYPT_MEMORY) return `scrypt with n=${n}, r=${r}, p=${p} takes more than 1 GiB of memory`
  if (n * r * p > MAX_SCRYPT_WORK) return `scrypt with n=${n}, r=${r}, p=${p} takes too long`
  return undefined
}

/**
 * The key that a password stands for, 32 bytes. Takes a third of a second and more, on the thread
 * that calls. The parameters have passed `findKdfProblem`.
 */
export function deriveKey(kdf: Kdf, password: Uint8Array): Uint8Array {
  if (kdf.kind === 'pbkdf2') return pbkdf2(sha256, password, kdf.salt, { c: kdf.iterations, dkLen: KEY_SIZE })
  const { n, r, p } = kdf
  return scrypt(password, kdf.salt, { N: n, r, p, dkLen: KEY_SIZE, maxmem: MAX_SCRYPT_MEMORY + 1024 * 1024 })
}
