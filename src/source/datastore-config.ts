import { readFileSync, statSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { FormatError } from '../errors/errors.js'
import { errorCode, fsError } from './fs-paths.js'
import { isSafeId } from './names.js'

export const DEFAULT_CONFIG_DIR = '/etc/proxmox-backup'
const CONFIG_FILE = 'datastore.cfg'
const MAX_CONFIG_SIZE = 4 * 1024 * 1024
/** Where the server mounts removable stores. */
const REMOVABLE_MOUNTS = '/mnt/datastore'
const MIN_STORE_NAME = 3
const MAX_STORE_NAME = 32

/** In these modes the store is being changed or is not there. */
const REFUSED_MODES = new Set(['offline', 'delete', 'unmount', 's3-refresh'])

/** A store as configured on this host. */
export interface ConfiguredStore {
  readonly name: string
  /** Where its files are; of a removable store the place it is mounted at when it is. */
  readonly path: string
  /** File system UUID of a removable store. */
  readonly backingDevice: string | undefined
  readonly s3: boolean
  /** `read-only`, `offline`, ... */
  readonly maintenance: string | undefined
  readonly maintenanceMessage: string | undefined
}

/** Whether the text can be the name of a configured store. */
export function isStoreName(name: string): boolean {
  return name.length >= MIN_STORE_NAME && name.length <= MAX_STORE_NAME && isSafeId(name)
}

/** The sentence why the store must not be read now (the user may override), or undefined. */
export function maintenanceProblem(store: ConfiguredStore): string | undefined {
  if (store.maintenance === undefined || !REFUSED_MODES.has(store.maintenance)) return undefined
  const message = store.maintenanceMessage === undefined ? '' : ` ("${store.maintenanceMessage}")`
  return `datastore ${store.name} is in maintenance mode ${store.maintenance}${message}`
}

/**
 * The stores configured on this host; none when there is no configuration.
 * Throws SourceError when it cannot be read.
 */
export function readDatastoreConfig(configDir: string = DEFAULT_CONFIG_DIR): ConfiguredStore[] {
  const path = join(configDir, CONFIG_FILE)
  try {
    if (statSync(path).size > MAX_CONFIG_SIZE) {
      throw new FormatError(`${path}: too large`, { stream: path, expected: `at most ${MAX_CONFIG_SIZE} bytes` })
    }
    return parseDatastoreConfig(readFileSync(path, 'utf8'))
  } catch (error) {
    if (error instanceof FormatError) throw error
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return []
    throw fsError(error, 'read', path)
  }
}

/**
 * The `datastore: NAME` sections of a section file: a header at the start of a line, indented
 * `key value` lines, an empty line or the next header at the end. Other sections, keys we do not
 * know and sections without a usable path are passed over.
 */
export function parseDatastoreConfig(text: string): ConfiguredStore[] {
  const stores = new Map<string, ConfiguredStore>()
  let name: string | undefined
  let keys = new Map<string, string>()
  const finish = (): void => {
    const store = name === undefined ? undefined : storeOf(name, keys)
    if (store !== undefined && !stores.has(store.name)) stores.set(store.name, store)
    name = undefined
    keys = new Map()
  }
  for (const line of text.split('\n')) {
    const property = /^[ \t]+(\S+)(?:[ \t]+(.*))?$/.exec(line.trimEnd())
    if (property !== null) {
      if (!keys.has(property[1]!)) keys.set(property[1]!, (property[2] ?? '').trim())
      continue
    }
    finish()
    name = /^datastore:[ \t]*(\S+)$/.exec(line.trimEnd())?.[1]
  }
  finish()
  return [...stores.values()]
}

function storeOf(name: string, keys: ReadonlyMap<string, string>): ConfiguredStore | undefined {
  const path = keys.get('path')
  if (!isSafeId(name) || path === undefined) return undefined
  const backingDevice = keys.get('backing-device')
  if (backingDevice === undefined && !isAbsolute(path)) return undefined
  const backend = parsePropertyString(keys.get('backend') ?? '', 'type')
  const maintenance = parsePropertyString(keys.get('maintenance-mode') ?? '', 'type')
  return {
    name,
    path: backingDevice === undefined ? path : join(REMOVABLE_MOUNTS, name),
    backingDevice,
    s3: backend.get('type') === 's3',
    maintenance: maintenance.get('type'),
    maintenanceMessage: maintenance.get('message'),
  }
}

/** `a=b,c="d, e"`; an item without a key has `defaultKey`. */
export function parsePropertyString(text: string, defaultKey: string): Map<string, string> {
  const properties = new Map<string, string>()
  const item = /(?:([A-Za-z0-9_-]+)=)?(?:"((?:[^"\\]|\\.)*)"|([^,]*))(?:,|$)/y
  while (item.lastIndex < text.length) {
    const match = item.exec(text)
    if (match === null) break
    const value = match[2] === undefined ? (match[3] ?? '').trim() : unescapeValue(match[2])
    properties.set((match[1] ?? defaultKey).trim(), value)
  }
  return properties
}

function unescapeValue(text: string): string {
  return text.replaceAll(/\\(.)/g, (_, char: string) => (char === 'n' ? '\n' : char))
}
