import type { ContentPool } from './content.js'
import { randomOf } from './random.js'

/** A tree of `folders` folders of `filesPerFolder` small files each, and one big file beside them. */
export interface TreePlan {
  /** Bytes of `big.bin`; 0: there is none. */
  readonly bigBytes: number
  readonly folders: number
  readonly filesPerFolder: number
  /** Sizes of the small files, spread evenly over the logarithm. */
  readonly smallest: number
  readonly largest: number
}

export const BIG_NAME = 'big.bin'

/** Who writes a tree: as an archive, as a catalog, as plain files. */
export interface TreeVisitor {
  beginFolder(name: string): void
  endFolder(): void
  file(name: string, size: number, pieces: (take: (piece: Buffer) => void) => void): void
}

export function folderName(i: number): string {
  return `d${String(i).padStart(5, '0')}`
}

export function fileName(i: number): string {
  return `file-${String(i).padStart(7, '0')}.txt`
}

/** Visits the whole tree in the order of an archive; the same plan gives the same bytes. */
export function visitTree(plan: TreePlan, pool: ContentPool, visitor: TreeVisitor): void {
  const random = randomOf(7)
  let seed = 0
  const file = (name: string, size: number): void => {
    const own = ++seed
    visitor.file(name, size, (take) => pool.forEachPiece(own, size, take))
  }
  if (plan.bigBytes > 0) file(BIG_NAME, plan.bigBytes)
  for (let i = 0; i < plan.folders; i++) {
    visitor.beginFolder(folderName(i))
    for (let k = 0; k < plan.filesPerFolder; k++) {
      file(fileName(k), Math.floor(plan.smallest * Math.exp(random() * Math.log(plan.largest / plan.smallest))))
    }
    visitor.endFolder()
  }
}
