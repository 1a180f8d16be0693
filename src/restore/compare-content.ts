import { read } from 'node:fs'
import { readPieces } from '../browse/tree-view.js'
import { equalBytes } from '../bytes/names.js'
import { AbortedError } from '../errors/errors.js'
import { files } from '../posix/files.js'
import type { Content } from '../tree/tree.js'
import { targetError } from './target-error.js'

export interface CompareOptions {
  readonly signal: AbortSignal
  /** For errors, safe to print. */
  readonly path: string
  readonly onBytes: (count: number) => void
}

/** Compares an open file or device, from its beginning, with what a backup has; a sentence when it differs. */
export async function compareContent(fd: number, content: Content, { signal, path, onBytes }: CompareOptions): Promise<string | undefined> {
  files().dropCache(fd)
  let offset = 0
  for await (const wanted of readPieces(content)) {
    if (signal.aborted) throw new AbortedError('interrupted')
    const bytes = await readFrom(fd, wanted.length, offset, path)
    if (!equalBytes(bytes, wanted)) return `its contents differ from the backup, within ${wanted.length} bytes from ${offset} on`
    offset += wanted.length
    onBytes(wanted.length)
  }
  return undefined
}

/** Bytes of an open file or device; fewer only at its end. */
export async function readFrom(fd: number, length: number, offset: number, path: string): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length)
  for (let at = 0; at < length; ) {
    const count = await new Promise<number>((resolve, reject) => {
      read(fd, bytes, at, length - at, offset + at, (error, done) => {
        if (error === null) resolve(done)
        else reject(targetError('read', path, error.errno ?? -5))
      })
    })
    if (count === 0) return bytes.subarray(0, at)
    at += count
  }
  return bytes
}
