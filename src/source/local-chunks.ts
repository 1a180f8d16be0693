import { closeSync, lstatSync, openSync } from 'node:fs'
import { ENCRYPTED_HEADER_SIZE, MAX_CHUNK_FILE_SIZE, PLAIN_HEADER_SIZE } from '../blob/data-blob.js'
import { hex } from '../bytes/names.js'
import { ChunkUnavailableError, IntegrityError, SourceError } from '../errors/errors.js'
import type { ChunkSource, LocalSourceDescriptor } from './datastore.js'
import {
  errorCode, fsError, joinPath, linkError, OPEN_FLAGS, OPEN_FLAGS_NOATIME, showPath, sourceError, statEntry, toFsPath, type FsPath,
} from './fs-paths.js' // prettier-ignore
import { CHUNK_FOLDER } from './names.js'
import { readFully, shrank, statOpen } from './read-file.js'
import { looksLikeS3Cache } from './s3-cache.js'

/** Buffer the first chunks are read into; grows to the largest chunk file met. */
const FIRST_SCRATCH_SIZE = 1024 * 1024
/** Chunk folders: one for each value of the first two bytes of a digest. */
const PREFIXES = 65536
/** Damaged chunks are kept as `DIGEST.0.bad` to `DIGEST.9.bad`. */
const MAX_BAD_COPIES = 10

/**
 * The chunks of a datastore directory. Synchronous: meant for a thread that has nothing else to
 * do, where it is the fastest way to read from a warm page cache.
 */
export class LocalChunks implements ChunkSource {
  readonly #base: FsPath
  readonly #folder: FsPath
  #s3Cache: boolean | undefined
  #scratch: Uint8Array | undefined
  #flags = OPEN_FLAGS_NOATIME
  /** 1: this chunk folder is known to be a real directory. */
  readonly #checked = new Uint8Array(PREFIXES)
  #checkedRoot = false

  constructor(descriptor: LocalSourceDescriptor) {
    this.#base = toFsPath(descriptor.path)
    this.#folder = joinPath(this.#base, CHUNK_FOLDER)
    this.#s3Cache = descriptor.s3Cache
  }

  /** The result is a view of a buffer that the next call overwrites. */
  readChunk(digest: Uint8Array): Uint8Array {
    const name = hex(digest)
    const prefix = name.slice(0, 4)
    this.#checkFolder(digest, name, prefix)
    const path = joinPath(this.#folder, `${prefix}/${name}`)
    const fd = this.#open(path, digest, name)
    try {
      const { size } = statOpen(fd, path)
      if (size < PLAIN_HEADER_SIZE || size > MAX_CHUNK_FILE_SIZE) throw this.#impossibleSize(path, name, size)
      const scratch = this.#scratchOf(size)
      const length = readFully(fd, scratch, size, path)
      if (length < size) throw shrank(path, size, length)
      return scratch.subarray(0, size)
    } finally {
      closeSync(fd)
    }
  }

  close(): void {
    this.#scratch = undefined
  }

  /** Links between folders would lead out of the store, and O_NOFOLLOW sees only the last name. */
  #checkFolder(digest: Uint8Array, name: string, prefix: string): void {
    if (!this.#checkedRoot) {
      this.#requireDirectory(this.#folder, name)
      this.#checkedRoot = true
    }
    const slot = (digest[0]! << 8) | digest[1]!
    if (this.#checked[slot] === 1) return
    if (this.#requireDirectory(joinPath(this.#folder, prefix), name)) this.#checked[slot] = 1
  }

  /** false: it does not exist (which is the same as an empty folder). */
  #requireDirectory(path: FsPath, name: string): boolean {
    try {
      const stats = lstatSync(path, { throwIfNoEntry: false })
      if (stats === undefined) return false
      if (stats.isDirectory()) return true
      throw stats.isSymbolicLink() ? linkError(path) : sourceError('not a directory', 'open', path, 'ENOTDIR')
    } catch (error) {
      throw error instanceof SourceError ? error : this.#explain(error, path, name)
    }
  }

  #open(path: FsPath, digest: Uint8Array, name: string): number {
    for (;;) {
      try {
        return openSync(path, this.#flags)
      } catch (error) {
        const code = errorCode(error)
        if (code === 'EPERM' && this.#flags === OPEN_FLAGS_NOATIME) {
          // Only the owner of a file may leave its access time alone.
          this.#flags = OPEN_FLAGS
          continue
        }
        if (code === 'ENOENT') {
          // The folder may come back as something else.
          this.#checked[(digest[0]! << 8) | digest[1]!] = 0
          this.#checkedRoot = false
          throw this.#missing(path, name)
        }
        throw this.#explain(error, path, name)
      }
    }
  }

  #scratchOf(size: number): Uint8Array {
    if (this.#scratch === undefined || this.#scratch.length < size) {
      let capacity = FIRST_SCRATCH_SIZE
      while (capacity < size) capacity *= 2
      this.#scratch = new Uint8Array(Math.min(capacity, MAX_CHUNK_FILE_SIZE))
    }
    return this.#scratch
  }

  #explain(error: unknown, path: FsPath, digest: string): SourceError {
    const code = errorCode(error)
    if (code !== 'EACCES') return fsError(error, 'open', path, { digest })
    const shown = showPath(path)
    return new SourceError(
      `${shown}: permission denied. Chunks are readable by user and group "backup" only (uid and gid 34): ` +
        'run as root or as backup, or join the group',
      { path: shown, operation: 'open', code, retryable: false, digest },
      { cause: error },
    )
  }

  #missing(path: FsPath, digest: string): Error {
    if (statEntry(this.#folder) === undefined) {
      return new SourceError(`${showPath(this.#folder)}: no longer there (unmounted or moved?)`, {
        path: showPath(this.#folder),
        operation: 'open',
        code: 'ENOENT',
        retryable: true,
        digest,
      })
    }
    const fields = { digest, source: showPath(this.#base), path: showPath(path) }
    if (/^0+$/.test(digest)) {
      return new ChunkUnavailableError('the index refers to a chunk whose digest is all zeros: the index is damaged', fields)
    }
    const bad = this.#findBadCopy(path)
    if (bad !== undefined) {
      const problem = `chunk ${digest} was found damaged by the server and set aside as ${bad}`
      return new ChunkUnavailableError(problem, { ...fields, bad })
    }
    if (this.#isS3Cache()) return this.#evicted(path, digest)
    return new ChunkUnavailableError(`chunk ${digest} is missing in ${showPath(this.#base)}`, fields)
  }

  #findBadCopy(path: FsPath): string | undefined {
    for (let i = 0; i < MAX_BAD_COPIES; i++) {
      const copy = typeof path === 'string' ? `${path}.${i}.bad` : Buffer.concat([path, Buffer.from(`.${i}.bad`)])
      if (statEntry(copy) !== undefined) return showPath(copy)
    }
    return undefined
  }

  #impossibleSize(path: FsPath, digest: string, size: number): Error {
    if (size === 0 && this.#isS3Cache()) return this.#evicted(path, digest)
    const problem =
      size === 0
        ? 'the chunk file is empty, as a crash leaves it'
        : size < PLAIN_HEADER_SIZE
          ? `the chunk file has ${size} bytes, too few for a chunk`
          : `the chunk file has ${size} bytes, too many for a chunk`
    return new IntegrityError(`chunk ${digest}: ${problem}`, {
      digest,
      source: showPath(this.#base),
      path: showPath(path),
      expected: `${PLAIN_HEADER_SIZE} to ${MAX_CHUNK_FILE_SIZE} bytes (${ENCRYPTED_HEADER_SIZE} at least when encrypted)`,
      actual: `${size} bytes`,
    })
  }

  #evicted(path: FsPath, digest: string): ChunkUnavailableError {
    return new ChunkUnavailableError(
      `chunk ${digest} is not in this folder, which is the local cache of an S3 store: the chunk is in the bucket, not lost`,
      { digest, source: showPath(this.#base), path: showPath(path), evicted: true },
    )
  }

  #isS3Cache(): boolean {
    this.#s3Cache ??= looksLikeS3Cache(this.#base)
    return this.#s3Cache
  }
}
