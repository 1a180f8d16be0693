import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import type { ReadAt } from '../bytes/read-at.js'
import { SourceError, TruncatedError } from '../errors/errors.js'
import { fsError, showPath, sourceError, toFsPath, type FsPath } from './fs-paths.js'

/** The last blocks read stay in memory, so that decoders can look at them without waiting. */
const BLOCK_SIZE = 1024 * 1024
const MAX_BLOCKS = 8

/** A lone archive file on disk as a stream. Its size is taken when it is opened. */
export class PlainFileStream implements ReadAt {
  readonly name: string
  readonly size: number
  readonly #path: FsPath
  readonly #file: FileHandle
  /** By block number, the most recently read last. Blocks are never written to again. */
  readonly #blocks = new Map<number, Uint8Array>()
  readonly #loading = new Map<number, Promise<Uint8Array>>()

  constructor(file: FileHandle, path: FsPath, size: number) {
    this.#file = file
    this.#path = path
    this.name = showPath(path)
    this.size = size
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    const first = Math.floor(offset / BLOCK_SIZE)
    const from = offset - first * BLOCK_SIZE
    if (from + length > BLOCK_SIZE) return undefined
    const block = this.#blocks.get(first)
    if (block === undefined || from + length > block.length) return undefined
    return block.subarray(from, from + length)
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size)) {
      throw new TruncatedError(`${this.name}: bytes ${offset} to ${offset + length} lie behind the end`, {
        stream: this.name,
        offset,
        expected: `at most ${this.size}`,
        actual: offset + length,
      })
    }
    const out = new Uint8Array(length)
    // Large reads would only push out what small ones come back to.
    if (length > BLOCK_SIZE) {
      await this.#readInto(out, offset)
      return out
    }
    for (let done = 0; done < length; ) {
      const at = offset + done
      const number = Math.floor(at / BLOCK_SIZE)
      const block = this.#touch(number) ?? (await this.#tryLoad(number))
      if (block === undefined) {
        // Some of the block is unreadable: it may be what nobody asked for.
        await this.#readInto(out.subarray(done), at)
        return out
      }
      const from = at - number * BLOCK_SIZE
      const part = block.subarray(from, Math.min(block.length, from + length - done))
      out.set(part, done)
      done += part.length
    }
    return out
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#loading.values())
    this.#blocks.clear()
    await this.#file.close()
  }

  #touch(number: number): Uint8Array | undefined {
    const block = this.#blocks.get(number)
    if (block === undefined) return undefined
    this.#blocks.delete(number)
    this.#blocks.set(number, block)
    return block
  }

  async #tryLoad(number: number): Promise<Uint8Array | undefined> {
    try {
      return await this.#load(number)
    } catch (error) {
      if (error instanceof SourceError && error.fields['code'] === 'EIO') return undefined
      throw error
    }
  }

  #load(number: number): Promise<Uint8Array> {
    const running = this.#loading.get(number)
    if (running !== undefined) return running
    const loading = this.#loadBlock(number).finally(() => this.#loading.delete(number))
    this.#loading.set(number, loading)
    return loading
  }

  async #loadBlock(number: number): Promise<Uint8Array> {
    const start = number * BLOCK_SIZE
    const block = new Uint8Array(Math.min(BLOCK_SIZE, this.size - start))
    await this.#readInto(block, start)
    this.#blocks.set(number, block)
    if (this.#blocks.size > MAX_BLOCKS) {
      const oldest = this.#blocks.keys().next().value
      if (oldest !== undefined) this.#blocks.delete(oldest)
    }
    return block
  }

  async #readInto(target: Uint8Array, offset: number): Promise<void> {
    for (let done = 0; done < target.length; ) {
      let got: number
      try {
        got = (await this.#file.read(target, done, target.length - done, offset + done)).bytesRead
      } catch (error) {
        throw fsError(error, 'read', this.#path, { offset: offset + done })
      }
      if (got === 0) {
        throw new TruncatedError(`${this.name}: became shorter while it was in use`, {
          stream: this.name,
          offset: offset + done,
          expected: this.size,
          actual: offset + done,
        })
      }
      done += got
    }
  }
}

/** Opens a regular file. A symbolic link given by the user is followed. Throws SourceError. */
export async function openPlainFile(path: string | Uint8Array): Promise<PlainFileStream> {
  const fsPath = toFsPath(path)
  let file: FileHandle | undefined
  try {
    file = await open(fsPath, constants.O_RDONLY | constants.O_NONBLOCK)
    const stats = await file.stat()
    if (!stats.isFile()) throw sourceError('not a regular file', 'open', fsPath, 'ENXIO')
    return new PlainFileStream(file, fsPath, stats.size)
  } catch (error) {
    await file?.close()
    throw error instanceof SourceError ? error : fsError(error, 'open', fsPath)
  }
}
