import { UsageError } from '../errors/errors.js'
import type { Log } from '../errors/log.js'
import type { ChunkRef } from '../reader/chunk-loader.js'
import { showPath, type FsPath } from '../source/fs-paths.js'
import { openLocalDatastore } from '../source/local-datastore.js'
import { resolveSource, type ResolveOptions } from '../source/resolve-source.js'
import { parseSource } from '../source/source-string.js'
import type { SourceState } from './open-settings.js'
import type { ProblemLog } from './problem-log.js'

/**
 * The datastores that `--fallback` names, by path or configured name. UsageError for a part of a
 * store or an archive, SourceError for what is no datastore or cannot be opened.
 */
export async function resolveFallbacks(given: readonly Uint8Array[], options: ResolveOptions): Promise<FsPath[]> {
  const paths: FsPath[] = []
  for (const text of given) {
    const source = await resolveSource(parseSource(Buffer.from(text)), options)
    const shown = showPath(text)
    if (source.kind !== 'store' || source.selector.ns.length > 0 || source.selector.type !== undefined) {
      throw new UsageError(`--fallback ${shown}: give a whole datastore; chunks are looked for in all of it`)
    }
    if (source.maintenance !== undefined) throw new UsageError(`--fallback ${shown}: ${source.maintenance}`)
    await openLocalDatastore(source.path).close()
    paths.push(source.path)
  }
  return paths
}

/** Tells which chunks came from which fallback. */
export class FallbackUse {
  readonly #paths: readonly FsPath[]
  readonly #settings: { readonly log: Log; readonly problems: ProblemLog }
  /** Chunks taken from each. */
  readonly #taken: number[]

  constructor(paths: readonly FsPath[], settings: { readonly log: Log; readonly problems: ProblemLog }) {
    this.#paths = paths
    this.#settings = settings
    this.#taken = paths.map(() => 0)
  }

  /** `number` counts the sources, the store itself is 0. */
  note({ stream }: ChunkRef, number: number, error: Error): void {
    const { log, problems } = this.#settings
    const fallback = showPath(this.#paths[number - 1] ?? '')
    this.#taken[number - 1] = (this.#taken[number - 1] ?? 0) + 1
    if (problems.add(error, { fallback, stream })) log.warn(`${error.message}; taken from the fallback ${fallback}`, { stream, fallback })
  }

  states(): SourceState[] {
    return this.#paths.map((path, i) => ({
      path: showPath(path),
      kind: 'fallback',
      state: 'ok',
      message: `${this.#taken[i] ?? 0} chunks taken from it`,
    }))
  }
}
