import { createHmac, timingSafeEqual } from 'node:crypto'
import { JsonNumber, parseJson, type JsonObject, type JsonValue } from '../bytes/json.js'
import { FormatError } from '../errors/errors.js'

/** What the server may change without the key: not signed. */
const UNSIGNED = new Set(['unprotected', 'signature'])

/**
 * The text of a manifest that its signature is made of: everything but what the server may change,
 * keys sorted by their bytes, no white space, numbers as they were written. FormatError: not a
 * manifest, or it holds a null, which cannot be signed.
 */
export function canonicalManifest(json: Uint8Array, name: string): string {
  const root = parseJson(json, name)
  if (!(root instanceof Map)) throw new FormatError(`${name}: manifest is not a JSON object`, { stream: name })
  const signed = [...(root as JsonObject)].filter(([key]) => !UNSIGNED.has(key))
  return writeCanonical(new Map(signed), name)
}

/** Whether `signature` (hex) is the one the holder of the key made for this manifest. What cannot be signed has none. */
export function verifySignature(json: Uint8Array, name: string, signature: string, idKey: Uint8Array): boolean {
  if (!/^[0-9a-fA-F]{64}$/.test(signature)) return false
  let text: string
  try {
    text = canonicalManifest(json, name)
  } catch (error) {
    if (error instanceof FormatError) return false
    throw error
  }
  const expected = createHmac('sha256', idKey).update(text).digest()
  return timingSafeEqual(expected, Buffer.from(signature, 'hex'))
}

function writeCanonical(value: JsonValue, name: string): string {
  if (value === null) throw new FormatError(`${name}: manifest holds a null, which cannot be signed`, { stream: name })
  if (value instanceof JsonNumber) return value.text
  if (typeof value === 'string' || typeof value === 'boolean') return JSON.stringify(value)
  if (value instanceof Map) {
    const entries = [...(value as JsonObject)].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${writeCanonical(item, name)}`).join(',')}}`
  }
  return `[${(value as readonly JsonValue[]).map((item) => writeCanonical(item, name)).join(',')}]`
}
