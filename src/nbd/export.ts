import type { ReadAt } from '../bytes/read-at.js'

/** Something that clients can open by name. */
export interface NbdExport {
  /** At most 4096 bytes of UTF-8 without NUL; unique in its table. */
  readonly name: string
  /** For people, one line. */
  readonly description: string
  /** Metadata contexts that can be asked about. */
  readonly contexts: readonly string[]
  /** Each connection calls this once for itself. Rejects with what the client is told. */
  open(): Promise<OpenExport>
}

export interface OpenExport {
  readonly size: number
  readonly stream: ReadAt
  /** First byte of the export in the stream. */
  readonly start: number
  /** Absent: the export is read-only. */
  readonly writer?: ExportWriter | undefined
  /** Of one of the names in `contexts`. */
  context(name: string): MetaContext
}

/** Changes an export; offsets are those of its stream. What was changed is seen by all connections at once. */
export interface ExportWriter {
  write(bytes: Uint8Array, offset: number): Promise<void>
  /** Makes a range read as zeros, without taking room where that can be. */
  zero(offset: number, length: number): Promise<void>
  /** What was changed before is safe from a loss of power when it resolves. */
  flush(): Promise<void>
}

/** A property that every byte of an export has, told without reading it. */
export interface MetaContext {
  /** Status flags at `offset` (inside the export), and the first byte behind it that may have others. */
  extentAt(offset: number): { readonly flags: number; readonly end: number }
}

/** All exports of a server. The first one is what clients get that name none. */
export interface ExportTable {
  list(): readonly NbdExport[]
  /** Also finds names that `list` leaves out. */
  find(name: string): NbdExport | undefined | Promise<NbdExport | undefined>
}
