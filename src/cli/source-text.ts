import { existsSync } from 'node:fs'
import { KeyError, UsageError } from '../errors/errors.js'
import { readVariable } from './keys/password-sources.js'
import { argToBytes, bytesToArg } from './raw-args.js'

/** SNAPSHOT (or group) and ARCHIVE as the vendor's client takes them. */
export interface VendorSource {
  readonly snapshot: string
  readonly archive: string
  /** Path or name of a store, or a repository on this host. */
  readonly repository: string
  /** `a/b/c`; empty: the root. */
  readonly namespace: string
}

const GROUP = /^(?:host|vm|ct)\/[^/]+$/
const SNAPSHOT = /^(?:host|vm|ct)\/[^/]+\/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/

/** The SOURCE string, as bytes, of a line made for the vendor's client. UsageError says which part is wrong. */
export function vendorSourceText(vendor: VendorSource): Buffer {
  const { snapshot, archive, namespace } = vendor
  const store = localStore(vendor.repository)
  if (!GROUP.test(snapshot) && !SNAPSHOT.test(snapshot)) {
    throw new UsageError(`"${snapshot}" is neither a snapshot (host/web/2026-01-02T00:00:00Z) nor a group (host/web)`)
  }
  const parts = [...namespacePath(namespace), GROUP.test(snapshot) ? `${snapshot}/latest` : snapshot, archiveFolder(archive)]
  return Buffer.concat([escapeStore(store), Buffer.from('::'), escapeSelector(parts.join('/'))])
}

/**
 * The store behind `--repository`: a path, a store name, or the vendor's `[user@realm@]host:store`
 * with this host as host. UsageError for another host: a server is not asked.
 */
export function localStore(repository: string): string {
  if (repository === '') throw new UsageError('--repository is empty')
  if (repository.startsWith('/') || repository.startsWith('.')) return repository
  const match = /^(?:(.+)@)?(?:(\[[0-9a-fA-F:.]+\]|[^:/@]+)(?::(\d{1,5}))?:)?([^:/@]+)$/.exec(repository)
  if (match === null) return repository
  const [, , host, , store] = match
  if (host === undefined || ['localhost', '127.0.0.1', '[::1]'].includes(host)) return store!
  throw new UsageError(
    `"${repository}" names a server; pbsfs reads datastores where they lie: give the path or the name of a store on this host`,
  )
}

function namespacePath(namespace: string): string[] {
  const names = namespace.split('/').filter((name) => name !== '')
  return names.map((name) => `ns/${name}`)
}

/** The name an archive has in the tree: `root.pxar`, whatever half or file of the server was named. */
function archiveFolder(archive: string): string {
  if (archive === '' || archive.includes('/')) throw new UsageError(`"${archive}" is not the name of an archive`)
  const name = archive.replace(/\.(?:didx|fidx|blob)$/, '')
  return name.replace(/\.(?:mpxar|ppxar)$/, '.pxar')
}

/** In the path only `::` and `\xNN` mean something. */
function escapeStore(store: string): Buffer {
  return Buffer.from(escapeBytes(argToBytes(store), (byte, next) => byte === 0x5c || (byte === 0x3a && next === 0x3a)))
}

/** Behind `::` a colon ends the archive's name when one came before; snapshot times hold colons and stay. */
function escapeSelector(selector: string): Buffer {
  return Buffer.from(escapeBytes(argToBytes(selector), (byte) => byte === 0x5c))
}

function escapeBytes(bytes: Buffer, special: (byte: number, next: number | undefined) => boolean): Buffer {
  const parts: Buffer[] = []
  bytes.forEach((byte, i) => {
    parts.push(special(byte, bytes[i + 1]) ? Buffer.from('\\x' + byte.toString(16).padStart(2, '0')) : Buffer.from([byte]))
  })
  return Buffer.concat(parts)
}

const PLACE_IN_STORE = /^(?:ns|host|vm|ct)(?:\/|$)/

/** Where the command line says that a source is. */
export interface StorePlace {
  readonly repository?: string | undefined
  readonly ns?: string | undefined
}

/**
 * The SOURCE string, as bytes, of a command: as it was given, or with `repository` (else the
 * environment's, for what is no path) a place in that store; empty: all of that store.
 */
export function storeSourceText(source: string, place: StorePlace, env: NodeJS.ProcessEnv): Buffer {
  const isPlace = source === '' || (PLACE_IN_STORE.test(source) && !existsSync(argToBytes(source)))
  const store = place.repository ?? (isPlace ? defaultRepository(env) : undefined)
  if (store === undefined) {
    if (source === '') throw new UsageError('the source is missing: name a datastore here, or with --repository or PBS_REPOSITORY')
    if (place.ns !== undefined) throw new UsageError('--ns belongs to --repository; in a selector it is STORE::ns/NAME/host/web')
    return argToBytes(source)
  }
  const below = source.replace(/^\/+/, '')
  if (below !== '' && !PLACE_IN_STORE.test(below)) {
    throw new UsageError(`with --repository, SOURCE is a place in that store, like host/web/latest or ns/prod/vm/100; "${source}" is none`)
  }
  const ns = place.ns ?? (/^ns(?:\/|$)/.test(below) ? '' : (env['PBSFS_NS'] ?? ''))
  const parts = [...namespacePath(ns), below].filter((part) => part !== '')
  return Buffer.concat([escapeStore(localStore(store)), Buffer.from('::'), argToBytes(parts.join('/'))])
}

/** The SOURCE string of the vendor's form SNAPSHOT ARCHIVE; `missing` is the sentence when no store is named. */
export function vendorPlaceText(vendor: Pick<VendorSource, 'snapshot' | 'archive'>, place: StorePlace, env: NodeJS.ProcessEnv, missing: string): Buffer {
  const repository = place.repository ?? defaultRepository(env)
  if (repository === undefined) throw new UsageError(missing)
  return vendorSourceText({ ...vendor, repository, namespace: place.ns ?? env['PBSFS_NS'] ?? '' })
}

const readRepositories = new WeakMap<NodeJS.ProcessEnv, string | undefined>()

/**
 * The store that the environment names: PBSFS_REPOSITORY, else PBS_REPOSITORY with the forms that the
 * vendor's client knows. Read once: a descriptor has it only once.
 */
export function defaultRepository(env: NodeJS.ProcessEnv): string | undefined {
  if (readRepositories.has(env)) return readRepositories.get(env)
  const found = [env['PBSFS_REPOSITORY'], readVendorRepository(env)].find((text) => text !== undefined && text !== '')
  readRepositories.set(env, found)
  return found
}

function readVendorRepository(env: NodeJS.ProcessEnv): string | undefined {
  try {
    const bytes = readVariable('PBS_REPOSITORY', env)
    return bytes === undefined ? undefined : bytesToArg(bytes).trim()
  } catch (error) {
    throw error instanceof KeyError ? new UsageError(error.message, error.fields, { cause: error.cause }) : error
  }
}
