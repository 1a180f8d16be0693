import type { PbsfsError } from '../errors/errors.js'
import type { ExtentStream } from './extent-stream.js'
import type { FileSystem } from './superblocks/file-system.js'

/** A partition or logical volume as a file. */
export interface Volume {
  /** Of the file: text without slashes and control characters, at most 255 bytes. */
  readonly name: string
  readonly stream: ExtentStream
  /** For people: `partition 3 "root"`, `logical volume vg1/first`. */
  readonly title: string
  readonly fileSystem: FileSystem | undefined
  /** Why what it holds could not be looked at. */
  readonly problem: PbsfsError | undefined
}

/** A file with a text of ours. */
export interface Note {
  readonly name: string
  readonly text: string
}
