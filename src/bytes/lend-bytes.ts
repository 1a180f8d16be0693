import type { LentBytes, ReadAt } from './read-at.js'

const nothing = (): void => undefined

/** Bytes that are nobody else's. */
export function ownBytes(bytes: Uint8Array): LentBytes {
  return { pieces: [bytes], release: nothing }
}

/** `ReadAt.lend` of any stream: a copy where it has none. */
export function lendBytes(stream: ReadAt, offset: number, length: number): LentBytes | Promise<LentBytes> {
  return stream.lend?.(offset, length) ?? stream.read(offset, length).then(ownBytes)
}
