import type { Span } from '../span.js'

/** What the first blocks of a partition or volume say it holds. */
export interface FileSystem {
  /** As blkid names it: `ext4`, `crypto_LUKS`. */
  readonly type: string
  /** At the end of the file's name. */
  readonly extension: string
  /** Bytes, without padding; mostly UTF-8. */
  readonly label?: Uint8Array
  /** As blkid writes it. */
  readonly uuid?: string
  /** Options that `mount -o loop,ro` needs besides, joined with commas. */
  readonly mountOptions?: string
  /** What a person has to know before using it. */
  readonly hint?: string
  /** mount(8) can mount it. False: a member of something larger, or encrypted. */
  readonly mountable: boolean
}

/** The beginning of a span, and a way to more of it. */
export interface Probe {
  readonly span: Span
  /** Up to `HEAD_BYTES`. */
  readonly head: Uint8Array
  readonly view: DataView
}

/** Reaches the superblock of btrfs and the first label of ZFS. */
export const HEAD_BYTES = 132 * 1024

/** Reads one kind of superblock; undefined: not of that kind. */
export type Prober = (probe: Probe) => FileSystem | undefined | Promise<FileSystem | undefined>

export function has(probe: Probe, end: number): boolean {
  return probe.head.length >= end
}

/** Are these (latin1) bytes at `at`? */
export function isAt(probe: Probe, at: number, text: string): boolean {
  return has(probe, at + text.length) && Buffer.from(probe.head.subarray(at, at + text.length)).toString('latin1') === text
}

/** A text field that ends with NUL or its length; undefined: empty. Owns its memory. */
export function labelAt(bytes: Uint8Array, at: number, length: number): Uint8Array | undefined {
  const field = bytes.subarray(at, at + length)
  const nul = field.indexOf(0)
  const label = nul < 0 ? field : field.subarray(0, nul)
  return label.length === 0 ? undefined : label.slice()
}

/** A text field padded with blanks. */
export function paddedAt(bytes: Uint8Array, at: number, length: number): Uint8Array | undefined {
  const label = labelAt(bytes, at, length)
  if (label === undefined) return undefined
  let end = label.length
  while (end > 0 && label[end - 1] === 0x20) end--
  return end === 0 ? undefined : label.slice(0, end)
}

/** A field of UTF-16 (LE) as UTF-8; undefined: empty. */
export function utf16At(bytes: Uint8Array, at: number, length: number): Uint8Array | undefined {
  const text = new TextDecoder('utf-16le', { ignoreBOM: true }).decode(bytes.subarray(at, at + length))
  const end = text.indexOf('\0')
  const label = end < 0 ? text : text.slice(0, end)
  return label === '' ? undefined : Buffer.from(label)
}

/** Only what is there. */
export function identity(label: Uint8Array | undefined, uuid: string | undefined): Pick<FileSystem, 'label' | 'uuid'> {
  return { ...(label === undefined ? {} : { label }), ...(uuid === undefined ? {} : { uuid }) }
}
