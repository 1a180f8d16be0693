import { write } from 'node:fs'
import { lendBytes } from '../bytes/lend-bytes.js'
import { asBuffer } from '../bytes/names.js'
import { AbortedError } from '../errors/errors.js'
import { files } from '../posix/files.js'
import type { Content } from '../tree/tree.js'
import { targetError } from './target-error.js'

/** Runs of zeros of this many bytes become holes, where the file has them at a multiple of it. */
const HOLE = 64 * 1024
const ZEROS = Buffer.alloc(HOLE)

/** Bytes of a file written in one piece, at most. */
const PIECE = 4 * 1024 * 1024

/** What to do where zeros belong: nothing in a new file, which reads as zeros by itself. */
export type WriteZeros = ((fd: number, offset: number, length: number) => Promise<void>) | undefined

/** Bytes that are at hand, to an open file that is empty. `path` is for errors. */
export function writeBytes(fd: number, bytes: Uint8Array, path: string): void {
  let end = 0
  for (let at = 0; at < bytes.length; ) {
    const [from, to] = nextRun(bytes, at)
    for (let done = from; done < to; ) {
      const result = files().pwrite(fd, done === 0 ? bytes : bytes.subarray(done), to - done, done)
      if (result <= 0) throw targetError('write', path, result)
      done += result
    }
    if (to > from) end = to
    at = to
  }
  if (end < bytes.length) truncate(fd, bytes.length, path)
}

export interface CopyOptions {
  readonly signal: AbortSignal
  /** For errors, safe to print. */
  readonly path: string
  readonly writeZeros?: WriteZeros
  /** Bytes done, holes among them. */
  readonly onBytes: (count: number) => void
}

/** A whole content to an open file, without the holes it is known to have; what comes next is loaded meanwhile. */
export async function copyContent(fd: number, content: Content, options: CopyOptions): Promise<void> {
  const { stream, start, size } = content
  const { signal, path, writeZeros, onBytes } = options
  await stream.prepare?.()
  for (let at = 0; at < size; ) {
    if (signal.aborted) throw new AbortedError('interrupted')
    const data = Math.min(size, (stream.nextData?.(start + at) ?? start + at) - start)
    if (data > at) {
      await writeZeros?.(fd, at, data - at)
      onBytes(data - at)
      at = data
      continue
    }
    const length = Math.min(PIECE, size - at)
    const { pieces, release } = await lendBytes(stream, start + at, length)
    try {
      let offset = at
      for (const bytes of pieces) {
        await writeSparse(fd, bytes, offset, path, writeZeros)
        offset += bytes.length
      }
    } finally {
      release()
    }
    onBytes(length)
    at += length
  }
  if (writeZeros === undefined) truncate(fd, size, path)
}

/** Bytes at a place of an open file; long runs of zeros are left to `writeZeros`. */
export async function writeSparse(fd: number, bytes: Uint8Array, offset: number, path: string, writeZeros: WriteZeros): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const [from, to] = nextRun(bytes, at)
    if (from > at) await writeZeros?.(fd, offset + at, from - at)
    await writeAll(fd, bytes, from, to, offset + from, path)
    at = to
  }
}

/** The next bytes at or behind `at` that must be written: `[from, to)`, cut at zeros. */
function nextRun(bytes: Uint8Array, at: number): readonly [from: number, to: number] {
  let from = at
  while (from < bytes.length && isZeros(bytes, from)) from = Math.min(from + HOLE, bytes.length)
  let to = from
  while (to < bytes.length && !isZeros(bytes, to)) to = Math.min(to + HOLE, bytes.length)
  return [from, to]
}

function isZeros(bytes: Uint8Array, at: number): boolean {
  const end = Math.min(at + HOLE, bytes.length)
  return bytes[at] === 0 && bytes[end - 1] === 0 && asBuffer(bytes).compare(ZEROS, 0, end - at, at, end) === 0
}

/** On a thread of the runtime's pool, so that decoding goes on meanwhile. */
async function writeAll(fd: number, bytes: Uint8Array, from: number, to: number, position: number, path: string): Promise<void> {
  for (let at = from; at < to; ) {
    at += await new Promise<number>((resolve, reject) => {
      write(fd, bytes, at, to - at, position + at - from, (error, written) => {
        if (error === null) resolve(written)
        else reject(targetError('write', path, error.errno ?? -5))
      })
    })
  }
}

/** The size of a file that ends with a hole. */
function truncate(fd: number, size: number, path: string): void {
  const result = files().ftruncate(fd, size)
  if (result < 0) throw targetError('set the size', path, result)
}
