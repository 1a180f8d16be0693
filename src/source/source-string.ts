import { bytesOfKey, escapeName, keyOf } from '../bytes/names.js'
import { UsageError } from '../errors/errors.js'
import { isBackupType, isSafeId, MAX_NAMESPACE_DEPTH, type BackupType } from './names.js'
import { parseSnapshotTime } from './snapshot-time.js'

/*
 * SOURCE on the command line, in bytes:
 *
 *   PATH[::SELECTOR]
 *   SELECTOR = [ns/NAME/...][TYPE[/ID[/TIME[/ARCHIVE[:INSIDE]]]]]
 *
 * The first `::` ends PATH; behind the fourth name of a snapshot's path the first `:` (or `/`)
 * ends ARCHIVE. `\xNN` writes any byte, also one that would otherwise separate.
 */

export interface SourceText {
  readonly path: Buffer
  /** Still escaped; undefined when there is no `::`. */
  readonly selector: Buffer | undefined
}

/** A part of a datastore. Each field needs the ones before it, but for `ns`. */
export interface Selector {
  /** Empty: the root namespace. */
  readonly ns: readonly string[]
  readonly type?: BackupType
  readonly id?: string
  /** Folder name, or `latest`. */
  readonly time?: string
  /** Shown name or file name; look it up with `findArchive`. */
  readonly archive?: string
  /** Path inside the archive, without leading and trailing slashes. */
  readonly inside?: Buffer
}

export const LATEST = 'latest'

/** Splits SOURCE. Throws UsageError when there is no PATH, or a NUL in it. */
export function parseSource(bytes: Uint8Array): SourceText {
  const text = keyOf(bytes)
  const at = text.indexOf('::')
  const path = unescapeBytes(at < 0 ? text : text.slice(0, at))
  if (path.length === 0) throw new UsageError('SOURCE is empty: give the path of a datastore or an archive')
  if (path.includes(0)) throw new UsageError('SOURCE has a NUL byte')
  return { path, selector: at < 0 ? undefined : bytesOfKey(text.slice(at + 2)) }
}

/** Reads SELECTOR. Throws UsageError with a sentence that says what was expected where. */
export function parseSelector(bytes: Uint8Array): Selector {
  const rest = keyOf(bytes).replace(/^\/+/, '')
  const names = new NameReader(rest)
  const ns: string[] = []
  let name = names.next()
  while (name === 'ns') {
    const component = names.next()
    if (component === undefined) throw new UsageError('SELECTOR: the name of a namespace must follow ns/')
    if (!isSafeId(component)) throw new UsageError(`SELECTOR: ${show(component)} is not the name of a namespace`)
    if (ns.push(component) > MAX_NAMESPACE_DEPTH) throw new UsageError(`SELECTOR: namespaces have at most ${MAX_NAMESPACE_DEPTH} levels`)
    name = names.next()
  }
  if (name === undefined) return { ns }
  if (!isBackupType(name)) throw new UsageError(`SELECTOR: expected host, vm, ct or ns, found ${show(name)}`)
  const type = name
  const id = names.next()
  if (id === undefined) return { ns, type }
  if (!isSafeId(id)) throw new UsageError(`SELECTOR: ${show(id)} is not a backup id`)
  const time = names.next()
  if (time === undefined) return { ns, type, id }
  if (time !== LATEST && parseSnapshotTime(time) === undefined) {
    throw new UsageError(`SELECTOR: expected a time like 2026-01-02T00:00:00Z or latest, found ${show(time)}`)
  }
  const archive = names.nextArchive()
  if (archive === undefined) return { ns, type, id, time }
  if (!isSafeId(archive)) throw new UsageError(`SELECTOR: ${show(archive)} is not the name of an archive`)
  const inside = cleanInside(names.rest())
  return { ns, type, id, time, archive, ...(inside.length === 0 ? {} : { inside }) }
}

/** A path inside an archive as it was typed: escapes undone, outer slashes removed. */
export function parseInside(bytes: Uint8Array): Buffer {
  return cleanInside(keyOf(bytes))
}

function cleanInside(text: string): Buffer {
  const names: Buffer[] = []
  for (const part of text.split('/')) {
    const name = unescapeBytes(part)
    const key = keyOf(name)
    if (key === '' || key === '.') continue
    if (key === '..' || /[/\0]/.test(key)) throw new UsageError(`SELECTOR: ${show(key)} cannot be a name inside an archive`)
    names.push(name)
  }
  return Buffer.concat(names.flatMap((name, i) => (i === 0 ? [name] : [Buffer.from('/'), name])))
}

/** The selector as text, escaped so that it can be read back. */
export function formatSelector(selector: Selector): string {
  const names = selector.ns.flatMap((name) => ['ns', name])
  for (const name of [selector.type, selector.id, selector.time, selector.archive]) if (name !== undefined) names.push(name)
  return names.join('/') + (selector.inside === undefined ? '' : `:${escapeName(selector.inside)}`)
}

/** Takes names off a path; empty ones do not count. Escapes are undone name by name. */
class NameReader {
  #rest: string

  constructor(text: string) {
    this.#rest = text
  }

  next(): string | undefined {
    return this.#take(/^([^/]*)(?:\/+|$)/)
  }

  nextArchive(): string | undefined {
    return this.#take(/^([^/:]*)(?:[/:]|$)/)
  }

  rest(): string {
    return this.#rest
  }

  #take(pattern: RegExp): string | undefined {
    if (this.#rest === '') return undefined
    const match = pattern.exec(this.#rest)!
    this.#rest = this.#rest.slice(match[0].length)
    return keyOf(unescapeBytes(match[1]!))
  }
}

function unescapeBytes(text: string): Buffer {
  return bytesOfKey(text.replaceAll(/\\x([0-9a-fA-F]{2})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 16))))
}

function show(name: string): string {
  return `"${escapeName(bytesOfKey(name.slice(0, 100)))}"`
}
