import { lstat, readdir } from 'node:fs/promises'
import { MAX_CHUNK_FILE_SIZE, PLAIN_HEADER_SIZE } from '../blob/data-blob.js'
import { hex } from '../bytes/names.js'
import { errorCode, joinPath, toFsPath, type FsPath } from './fs-paths.js'
import { CHUNK_FOLDER } from './names.js'

/** What the folder says of a chunk, without reading it. */
export type ChunkLook =
  | { readonly state: 'there'; readonly bytes: number }
  /** `marked`: the server has found it bad and put it aside. */
  | { readonly state: 'missing' | 'marked' | 'impossible'; readonly reason: string }
  /** It could not be looked at. */
  | { readonly state: 'unknown'; readonly reason: string }

/** Files looked at the same time. */
const AT_ONCE = 16

const DIGITS = 4

/** The chunk folders of a datastore: what is there, by name and length. Never opens a chunk. */
export class ChunkInventory {
  readonly #folder: FsPath

  constructor(path: string | Uint8Array) {
    this.#folder = joinPath(toFsPath(path), CHUNK_FOLDER)
  }

  /** Looks at digests that share their first two bytes; answers in their order. */
  async look(digests: readonly Uint8Array[]): Promise<ChunkLook[]> {
    const names = digests.map(hex)
    const folder = joinPath(this.#folder, names[0]!.slice(0, DIGITS))
    let listed: Set<string>
    try {
      const stats = await lstat(folder)
      if (!stats.isDirectory()) return names.map(() => ({ state: 'unknown', reason: 'its folder is not a folder' }))
      listed = new Set(await readdir(folder))
    } catch (error) {
      const code = errorCode(error) ?? 'EIO'
      if (code === 'ENOENT') return names.map(() => ({ state: 'missing', reason: 'there is no such chunk' }))
      return names.map(() => ({ state: 'unknown', reason: `its folder cannot be read: ${code}` }))
    }
    const looks: ChunkLook[] = []
    for (let i = 0; i < names.length; i += AT_ONCE) {
      looks.push(...(await Promise.all(names.slice(i, i + AT_ONCE).map((name) => this.#lookAt(folder, name, listed)))))
    }
    return looks
  }

  async #lookAt(folder: FsPath, name: string, listed: ReadonlySet<string>): Promise<ChunkLook> {
    if (!listed.has(name)) {
      const marked = Array.from({ length: 10 }, (_, i) => `${name}.${i}.bad`).some((bad) => listed.has(bad))
      return marked ? { state: 'marked', reason: 'the server found it bad and put it aside' } : { state: 'missing', reason: 'there is no such chunk' }
    }
    try {
      const stats = await lstat(joinPath(folder, name))
      if (!stats.isFile()) return { state: 'impossible', reason: 'it is no regular file' }
      if (stats.size < PLAIN_HEADER_SIZE) return { state: 'impossible', reason: `it has ${stats.size} bytes, too few for any chunk` }
      if (stats.size > MAX_CHUNK_FILE_SIZE) return { state: 'impossible', reason: `it has ${stats.size} bytes, too many for any chunk` }
      return { state: 'there', bytes: stats.size }
    } catch (error) {
      const code = errorCode(error) ?? 'EIO'
      return code === 'ENOENT' ? { state: 'missing', reason: 'there is no such chunk' } : { state: 'unknown', reason: `it cannot be looked at: ${code}` }
    }
  }
}
