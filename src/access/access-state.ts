import { JsonNumber, parseJson, type JsonObject, type JsonValue } from '../bytes/json.js'
import { FormatError, UnsupportedError } from '../errors/errors.js'
import { MAX_MANIFEST_FILES } from '../source/manifest.js'
import { isBackupType, isSafeId, type BackupType } from '../source/names.js'
import { parseSnapshotTime } from '../source/snapshot-time.js'

const STATE_VERSION = 1

/** Of a state file, in bytes: as many disks as a manifest can list, each with many runs that failed. */
export const MAX_STATE_SIZE = 16 * 1024 * 1024
const MAX_DISKS = MAX_MANIFEST_FILES

/** What a target did with its bitmap of a disk; as QEMU's PBSBitmapAction. */
export type BitmapAction = 'new' | 'used' | 'invalid' | 'not-used' | 'not-used-removed'

const ACTIONS: readonly BitmapAction[] = ['new', 'used', 'invalid', 'not-used', 'not-used-removed']

/** A disk as one snapshot has it. */
export interface DiskState {
  /** Folder name. */
  readonly snapshot: string
  /** SHA-256 over the entries of its index, hex: a snapshot that was replaced has another one. */
  readonly csum: string
  readonly size: number
}

/** What a target holds of a disk since its last run that succeeded. */
export interface Base extends DiskState {
  readonly bitmap: string
  /** What runs read that failed since then: the target may hold parts of it. */
  readonly tried: readonly DiskState[]
}

/** A disk of an access that is set up. */
export interface ActiveDisk extends DiskState {
  /** Name in the snapshot, as `drive-scsi0.img`. */
  readonly archive: string
  readonly action: BitmapAction
  /** undefined: none was asked for. */
  readonly bitmap: string | undefined
}

export interface ActiveAccess {
  /** Tells it from others of this target. */
  readonly id: string
  readonly snapshot: string
  /** Unix seconds. */
  readonly since: number
  readonly disks: readonly ActiveDisk[]
}

/** A group of a store: whose disks they are. */
export interface GroupPlace {
  /** Path of the store, escaped (`escapeName`). */
  readonly store: string
  readonly ns: readonly string[]
  readonly type: BackupType
  readonly id: string
}

/** Everything that is known of one target and one group. */
export interface AccessState {
  readonly target: string
  readonly place: GroupPlace
  /** By the name of the disk. */
  readonly bases: ReadonlyMap<string, Base>
  readonly active: ActiveAccess | undefined
}

export function emptyState(target: string, place: GroupPlace): AccessState {
  return { target, place, bases: new Map(), active: undefined }
}

/** `ns/a/vm/100`. */
export function groupName({ ns, type, id }: GroupPlace): string {
  return [...ns.flatMap((name) => ['ns', name]), type, id].join('/')
}

export function encodeState({ target, place, bases, active }: AccessState): Buffer {
  const document = {
    version: STATE_VERSION,
    target,
    ...place,
    bases: Object.fromEntries(bases),
    active: active === undefined ? null : { ...active, disks: active.disks.map((disk) => ({ ...disk, bitmap: disk.bitmap ?? null })) },
  }
  return Buffer.from(JSON.stringify(document, null, 2) + '\n')
}

/** FormatError for what `encodeState` never writes; UnsupportedError for a later version. `name`: the file. */
export function parseState(bytes: Uint8Array, name: string): AccessState {
  const root = new Fields(parseJson(bytes, name), name, 'the state')
  const version = root.integer('version')
  if (version > STATE_VERSION) {
    throw new UnsupportedError(`${name}: was written by a later pbsfs (version ${version})`, { feature: 'access state', version, path: name })
  }
  const type = root.text('type', isBackupType) as BackupType
  const place = { store: root.text('store', (text) => text.startsWith('/')), ns: root.texts('ns', isSafeId), type, id: root.text('id', isSafeId) }
  const bases = root.fields('bases').entries(isSafeId, (fields) => ({
    ...diskState(fields),
    bitmap: fields.text('bitmap', isBitmapName),
    tried: fields.list('tried').map(diskState),
  }))
  const active = root.optional('active')
  return {
    target: root.text('target', isTargetId),
    place,
    bases,
    active: active === undefined ? undefined : parseActive(active),
  }
}

function parseActive(fields: Fields): ActiveAccess {
  return {
    id: fields.text('id', (text) => /^[0-9a-f]{16}$/.test(text)),
    snapshot: fields.text('snapshot', isTime),
    since: fields.integer('since'),
    disks: fields.list('disks').map((disk) => ({
      ...diskState(disk),
      archive: disk.text('archive', isSafeId),
      action: disk.text('action', (text) => ACTIONS.includes(text as BitmapAction)) as BitmapAction,
      bitmap: disk.isNull('bitmap') ? undefined : disk.text('bitmap', isBitmapName),
    })),
  }
}

function diskState(fields: Fields): DiskState {
  return {
    snapshot: fields.text('snapshot', isTime),
    csum: fields.text('csum', (text) => /^[0-9a-f]{64}$/.test(text)),
    size: fields.integer('size'),
  }
}

/** A name of a target: of a folder, and safe to print. */
export function isTargetId(text: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9._:@+-]{0,127}$/.test(text)
}

/** A name of a bitmap, as in `qemu:dirty-bitmap:NAME`. */
export function isBitmapName(text: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9._:@+-]{0,127}$/.test(text)
}

function isTime(text: string): boolean {
  return parseSnapshotTime(text) !== undefined
}

/** A JSON object of the state, and what is wrong with it. */
class Fields {
  readonly #object: JsonObject
  readonly #name: string
  readonly #what: string

  constructor(value: JsonValue | undefined, name: string, what: string) {
    this.#name = name
    this.#what = what
    if (!(value instanceof Map)) throw this.#invalid('', 'an object')
    this.#object = value as JsonObject
  }

  text(key: string, isValid: (text: string) => boolean): string {
    const value = this.#object.get(key)
    if (typeof value !== 'string' || !isValid(value)) throw this.#invalid(key, 'a text of its form')
    return value
  }

  texts(key: string, isValid: (text: string) => boolean): string[] {
    const value = this.#object.get(key)
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'string' && isValid(item))) throw this.#invalid(key, 'a list of texts')
    return value as string[]
  }

  /** Not negative. */
  integer(key: string): number {
    const value = this.#object.get(key)
    const number = value instanceof JsonNumber ? value.toSafeInteger() : undefined
    if (number === undefined || number < 0) throw this.#invalid(key, 'a number from 0 to 2^53-1')
    return number
  }

  isNull(key: string): boolean {
    return this.#object.get(key) === null
  }

  fields(key: string): Fields {
    return new Fields(this.#object.get(key), this.#name, key)
  }

  optional(key: string): Fields | undefined {
    return this.isNull(key) ? undefined : this.fields(key)
  }

  list(key: string): Fields[] {
    const value = this.#object.get(key)
    if (!Array.isArray(value) || value.length > MAX_DISKS) throw this.#invalid(key, `a list of at most ${MAX_DISKS}`)
    return (value as readonly JsonValue[]).map((item) => new Fields(item, this.#name, key))
  }

  entries<T>(isKey: (key: string) => boolean, read: (fields: Fields) => T): Map<string, T> {
    if (this.#object.size > MAX_DISKS) throw this.#invalid('', `at most ${MAX_DISKS} entries`)
    const entries = new Map<string, T>()
    for (const [key, value] of this.#object) {
      if (!isKey(key)) throw this.#invalid('', 'names of disks')
      entries.set(key, read(new Fields(value, this.#name, `${this.#what} ${key}`)))
    }
    return entries
  }

  #invalid(key: string, expected: string): FormatError {
    const item = key === '' ? this.#what : `${this.#what}, ${key}`
    return new FormatError(`${this.#name}: no state of an access: ${item} is not ${expected}`, { path: this.#name, item, expected })
  }
}
