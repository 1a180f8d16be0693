import { lstatSync, readdirSync } from 'node:fs'
import { CHUNK_FOLDER } from './names.js'
import { joinPath, type FsPath } from './fs-paths.js'

/** Chunk folders looked into, spread over the store. */
const SAMPLED_FOLDERS = 24
/** Chunk files whose length is looked at. */
const SAMPLED_FILES = 64
/** A crash leaves one or two empty chunk files, a cache is full of them. */
const MIN_EMPTY = 4
const MIN_EMPTY_SHARE = 0.2

export const S3_CACHE_REMARK =
  'This is the local cache folder of a datastore in an S3 bucket: chunks that are not cached here are in the bucket, not lost.'

/**
 * Whether the store looks like the cache folder of an S3 store: markers `DIGEST.using`, or many
 * empty chunk files (evicted chunks). Looks at a bounded sample; unreadable parts count as no.
 */
export function looksLikeS3Cache(base: FsPath): boolean {
  const chunks = joinPath(base, CHUNK_FOLDER)
  const prefixes = listNames(chunks).filter((name) => /^[0-9a-f]{4}$/.test(name)).sort()
  const step = Math.max(1, Math.floor(prefixes.length / SAMPLED_FOLDERS))
  let files = 0
  let empty = 0
  for (let i = 0; i < prefixes.length && files < SAMPLED_FILES; i += step) {
    const folder = joinPath(chunks, prefixes[i]!)
    for (const name of listNames(folder)) {
      if (/^[0-9a-f]{64}\.using$/.test(name)) return true
      if (files >= SAMPLED_FILES || !/^[0-9a-f]{64}$/.test(name)) continue
      const size = sizeOfFile(joinPath(folder, name))
      if (size === undefined) continue
      files++
      if (size === 0) empty++
    }
  }
  return empty >= MIN_EMPTY && empty >= files * MIN_EMPTY_SHARE
}

function listNames(path: FsPath): string[] {
  try {
    // A link would lead out of the store.
    return lstatSync(path).isDirectory() ? readdirSync(path, 'latin1') : []
  } catch {
    return []
  }
}

function sizeOfFile(path: FsPath): number | undefined {
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false })
    return stats?.isFile() === true ? stats.size : undefined
  } catch {
    return undefined
  }
}
