import { JsonNumber, parseJson, type JsonObject, type JsonValue } from '../bytes/json.js'
import { asBuffer } from '../bytes/names.js'
import { FormatError, KeyError } from '../errors/errors.js'
import { findKdfProblem, type Kdf } from './derive-key.js'
import { KEY_SIZE } from './encryption-key.js'
import { parseFingerprint } from './fingerprint.js'
import { extractPaperKey } from './paper-key.js'

/** Bytes of a key file. Real ones have less than 1 KiB, printed ones with their picture some 100 KiB. */
export const MAX_KEY_FILE_SIZE = 1024 * 1024

/** IV, tag, key: what `data` holds when a password protects the key. */
export const WRAPPED_SIZE = 64

/** A key file, read but not unlocked. */
export interface KeyFile {
  /** For messages. */
  readonly name: string
  readonly form: 'file' | 'paper'
  /** undefined: no password. */
  readonly kdf: Kdf | undefined
  /** The key itself (32 bytes), or IV, tag and ciphertext (64 bytes). A secret when there is no password. */
  readonly data: Uint8Array
  /** As written; times of RFC 3339. */
  readonly created: string | undefined
  readonly modified: string | undefined
  /** 64 hex digits; old files have none. */
  readonly fingerprint: string | undefined
  /** What the owner wrote to remember the password by. */
  readonly hint: string | undefined
}

/**
 * A key file of the vendor's client: JSON, or the text `key paperkey` prints with that JSON in it.
 * KeyError says what is wrong, and never quotes what the file holds.
 */
export function parseKeyFile(bytes: Uint8Array, name: string): KeyFile {
  if (bytes.length > MAX_KEY_FILE_SIZE) throw damaged(name, `it has ${bytes.length} bytes, too many for a key`)
  const text = asBuffer(bytes).toString('utf8')
  if (/-----BEGIN [A-Z ]*(?:PRIVATE|PUBLIC) KEY-----/.test(text)) {
    throw new KeyError(`${name}: a key pair (PEM), not an encryption key; a private master key belongs to --master-keyfile`, {
      path: name,
    })
  }
  const paper = extractPaperKey(text)
  const root = parseObject(paper === undefined ? bytes : Buffer.from(paper), name)
  const kdf = parseKdf(root.get('kdf'), name)
  const data = decodeBase64(root.get('data'))
  const expected = kdf === undefined ? KEY_SIZE : WRAPPED_SIZE
  if (data === undefined) throw damaged(name, 'data is not base64')
  if (data.length !== expected) throw damaged(name, `data has ${data.length} bytes instead of ${expected}`)
  const fingerprint = textOf(root.get('fingerprint'))
  const digits = fingerprint === undefined ? undefined : parseFingerprint(fingerprint)
  if (root.has('fingerprint') && root.get('fingerprint') !== null && digits === undefined) {
    throw damaged(name, 'its fingerprint is malformed')
  }
  return {
    name,
    form: paper === undefined ? 'file' : 'paper',
    kdf,
    data,
    created: textOf(root.get('created')),
    modified: textOf(root.get('modified')),
    fingerprint: digits,
    hint: textOf(root.get('hint')),
  }
}

export function damaged(name: string, problem: string): KeyError {
  return new KeyError(`${name}: damaged key file: ${problem}`, { path: name })
}

function parseObject(json: Uint8Array, name: string): JsonObject {
  let root: JsonValue
  try {
    root = parseJson(json, name)
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    // Its fields quote the text around the fault, which may be the key.
    const offset = error.fields['offset']
    const place = typeof offset === 'number' ? ` at character ${offset}` : ''
    throw new KeyError(`${name}: not a key file, or damaged: invalid JSON${place}`, { path: name })
  }
  if (!(root instanceof Map)) throw new KeyError(`${name}: not a key file`, { path: name })
  if (!root.has('data')) throw new KeyError(`${name}: not a key file, it holds no key`, { path: name })
  return root as JsonObject
}

function parseKdf(value: JsonValue | undefined, name: string): Kdf | undefined {
  if (value === null) return undefined
  if (!(value instanceof Map)) throw damaged(name, 'kdf is missing or malformed')
  const [kind, parameters] = [...(value as JsonObject)][0] ?? []
  if (value.size !== 1 || !(parameters instanceof Map)) throw damaged(name, 'kdf is malformed')
  const kdf = kind === 'Scrypt' ? scryptOf(parameters) : kind === 'PBKDF2' ? pbkdf2Of(parameters) : undefined
  if (kdf === undefined) throw damaged(name, 'kdf is neither Scrypt nor PBKDF2 with all their parameters')
  const problem = findKdfProblem(kdf)
  if (problem !== undefined) throw damaged(name, problem)
  return kdf
}

function scryptOf(parameters: JsonObject): Kdf | undefined {
  const [n, r, p] = ['n', 'r', 'p'].map((key) => integerOf(parameters.get(key)))
  const salt = decodeBase64(parameters.get('salt'))
  if (n === undefined || r === undefined || p === undefined || salt === undefined) return undefined
  return { kind: 'scrypt', n, r, p, salt }
}

function pbkdf2Of(parameters: JsonObject): Kdf | undefined {
  const iterations = integerOf(parameters.get('iter'))
  const salt = decodeBase64(parameters.get('salt'))
  return iterations === undefined || salt === undefined ? undefined : { kind: 'pbkdf2', iterations, salt }
}

/** Standard base64 with padding; undefined for anything else. The result owns its memory. */
function decodeBase64(value: JsonValue | undefined): Uint8Array | undefined {
  if (typeof value !== 'string' || value.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(value)) return undefined
  const pooled = Buffer.from(value, 'base64')
  if (pooled.toString('base64') !== value) return undefined
  const bytes = new Uint8Array(pooled)
  pooled.fill(0)
  return bytes
}

function textOf(value: JsonValue | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function integerOf(value: JsonValue | undefined): number | undefined {
  return value instanceof JsonNumber ? value.toSafeInteger() : undefined
}
