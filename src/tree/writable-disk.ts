import type { ReadAt } from '../bytes/read-at.js'
import type { MaybePromise } from './tree.js'

/** A disk that takes changes; the backup below it does not. */
export interface WritableDisk {
  write(bytes: Uint8Array, offset: number): Promise<void>
  zero(offset: number, length: number): Promise<void>
  flush(): Promise<void>
}

/** What may lie over an image. */
export interface ImageOverlay {
  /** What a reader sees: the image, or with changes over it once there are any. */
  stream(): MaybePromise<ReadAt>
  /** Made by the first change. */
  readonly disk: WritableDisk
}

/** Finds what lies over images. */
export interface ImageOverlays {
  /** `path`: of the image in the whole store; `identity`: tells its contents from any other. */
  over(image: { readonly path: string; readonly identity: string }, backup: ReadAt): ImageOverlay
}
