import { escapeName } from '../bytes/names.js'
import { FormatError } from '../errors/errors.js'
import { JsonNumber, parseJson, type JsonObject, type JsonValue } from '../bytes/json.js'
import { isArchiveFileName, isBackupType, MANIFEST_NAME, type BackupType } from './names.js'

export type CryptMode = 'none' | 'sign-only' | 'encrypt'

/** A file the manifest vouches for. */
export interface ManifestFile {
  /** As it lies in the snapshot folder, with `.fidx`, `.didx` or `.blob`. */
  readonly filename: string
  readonly cryptMode: CryptMode
  /** Index: logical length of the stream. Blob: length of the file. */
  readonly size: number
  /** Index: SHA-256 over its entries. Blob: SHA-256 of the file. Lower-case hex. */
  readonly csum: string
}

export interface VerifyState {
  readonly state: 'ok' | 'failed'
  /** The task that found it, as the server names tasks. */
  readonly upid: string
  /** When that task started, Unix seconds. */
  readonly time: number | undefined
}

/** Plain data: goes through a thread boundary as it is. */
export interface Manifest {
  readonly backupType: BackupType
  readonly backupId: string
  /** Unix seconds. */
  readonly backupTime: number
  readonly files: readonly ManifestFile[]
  /** As written, not verified. Absent and null are the same. */
  readonly signature: string | undefined
  /** Not signed, rewritten by the server: the rest. */
  readonly notes: string | undefined
  readonly verify: VerifyState | undefined
  /** Lower-case hex without colons. */
  readonly keyFingerprint: string | undefined
  /** Entries of `files` that cannot be used, and unsigned parts that make no sense. */
  readonly problems: readonly string[]
}

/** Bytes of JSON. Real ones have a few KiB, and the notes. */
export const MAX_MANIFEST_SIZE = 8 * 1024 * 1024

/** Entries of `files`. A snapshot has a few for each disk or folder that is backed up. */
export const MAX_MANIFEST_FILES = 4096

const HEX_64 = /^[0-9a-fA-F]{64}$/

/**
 * The manifest in the JSON of `index.json.blob`. What would change the meaning of the snapshot is
 * an error; a bad entry of `files` costs only that entry, which `problems` names.
 */
export function parseManifest(json: Uint8Array, name: string): Manifest {
  if (json.length > MAX_MANIFEST_SIZE) throw invalid(name, 'is too large', `at most ${MAX_MANIFEST_SIZE} bytes`, json.length)
  const root = parseJson(json, name)
  if (!isObject(root)) throw invalid(name, 'is not a JSON object', 'an object', kindOf(root))
  const backupType = root.get('backup-type')
  if (typeof backupType !== 'string' || !isBackupType(backupType)) {
    throw invalid(name, 'has no valid backup-type', 'vm, ct or host', kindOf(backupType))
  }
  const backupId = root.get('backup-id')
  if (typeof backupId !== 'string') throw invalid(name, 'has no backup-id', 'a string', kindOf(backupId))
  const backupTime = integerOf(root.get('backup-time'))
  if (backupTime === undefined) throw invalid(name, 'has no valid backup-time', 'an integer', kindOf(root.get('backup-time')))
  const files = root.get('files')
  if (!isArray(files)) throw invalid(name, 'has no list of files', 'an array', kindOf(files))
  if (files.length > MAX_MANIFEST_FILES) {
    throw invalid(name, 'lists too many files', `at most ${MAX_MANIFEST_FILES}`, files.length)
  }
  const signature = root.get('signature') ?? undefined
  if (signature !== undefined && typeof signature !== 'string') {
    throw invalid(name, 'has a signature that is no text', 'a string or null', kindOf(signature))
  }
  const problems: string[] = []
  return {
    backupType,
    backupId,
    backupTime,
    files: parseFiles(files, problems),
    signature,
    ...parseUnprotected(root.get('unprotected') ?? undefined, problems),
    problems,
  }
}

function parseFiles(entries: readonly JsonValue[], problems: string[]): ManifestFile[] {
  const files = new Map<string, ManifestFile>()
  const twice = new Set<string>()
  for (const [i, entry] of entries.entries()) {
    const file = parseFile(entry)
    if (typeof file === 'string') {
      problems.push(`files[${i}]: ${file}`)
    } else if (files.has(file.filename)) {
      twice.add(file.filename)
    } else {
      files.set(file.filename, file)
    }
  }
  for (const filename of twice) {
    files.delete(filename)
    problems.push(`${filename}: listed more than once, none of the entries is used`)
  }
  return [...files.values()]
}

/** The entry, or what is wrong with it. */
function parseFile(entry: JsonValue): ManifestFile | string {
  if (!isObject(entry)) return 'not an object'
  const filename = entry.get('filename')
  if (typeof filename !== 'string') return 'no file name'
  const shown = escapeName(filename.slice(0, 300))
  if (!isArchiveFileName(filename) || filename === MANIFEST_NAME) return `${shown}: not the name of an archive`
  const cryptMode = entry.get('crypt-mode') ?? 'none'
  if (cryptMode !== 'none' && cryptMode !== 'sign-only' && cryptMode !== 'encrypt') return `${shown}: unknown crypt-mode`
  const size = integerOf(entry.get('size'))
  if (size === undefined || size < 0) return `${shown}: size is not a number from 0 to 2^53-1`
  const csum = entry.get('csum')
  if (typeof csum !== 'string' || !HEX_64.test(csum)) return `${shown}: checksum is not 64 hex digits`
  return { filename, cryptMode, size, csum: csum.toLowerCase() }
}

type Unprotected = Pick<Manifest, 'notes' | 'verify' | 'keyFingerprint'>

function parseUnprotected(value: JsonValue | undefined, problems: string[]): Unprotected {
  const nothing = { notes: undefined, verify: undefined, keyFingerprint: undefined }
  if (value === undefined) return nothing
  if (!isObject(value)) {
    problems.push('unprotected: not an object')
    return nothing
  }
  const notes = value.get('notes') ?? undefined
  if (notes !== undefined && typeof notes !== 'string') problems.push('notes: not a text')
  return {
    notes: typeof notes === 'string' ? notes : undefined,
    verify: parseVerifyState(value.get('verify_state') ?? undefined, problems),
    keyFingerprint: parseFingerprint(value.get('key-fingerprint') ?? undefined, problems),
  }
}

function parseVerifyState(value: JsonValue | undefined, problems: string[]): VerifyState | undefined {
  if (value === undefined) return undefined
  const state = isObject(value) ? value.get('state') : undefined
  const upid = isObject(value) ? value.get('upid') : undefined
  if ((state !== 'ok' && state !== 'failed') || typeof upid !== 'string') {
    problems.push('verify_state: malformed')
    return undefined
  }
  const start = /^UPID:[^:]*:[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8,16}:([0-9A-Fa-f]{8}):/.exec(upid)?.[1]
  return { state, upid, time: start === undefined ? undefined : parseInt(start, 16) }
}

function parseFingerprint(value: JsonValue | undefined, problems: string[]): string | undefined {
  if (value === undefined) return undefined
  const digits = typeof value === 'string' ? value.replaceAll(':', '').toLowerCase() : ''
  if (HEX_64.test(digits)) return digits
  problems.push('key-fingerprint: malformed')
  return undefined
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return value instanceof Map
}

function isArray(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value)
}

function integerOf(value: JsonValue | undefined): number | undefined {
  return value instanceof JsonNumber ? value.toSafeInteger() : undefined
}

function kindOf(value: JsonValue | undefined): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (value instanceof JsonNumber) return value.text.slice(0, 32)
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 32))
  return isArray(value) ? 'an array' : isObject(value) ? 'an object' : String(value)
}

function invalid(name: string, problem: string, expected: string, actual: string | number): FormatError {
  return new FormatError(`${name}: manifest ${problem}`, { stream: name, expected, actual })
}
