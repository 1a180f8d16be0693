import { closeSync, futimesSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { MTIME_SEC } from './pxar-writer.js'
import type { TreeVisitor } from './tree-plan.js'

/** Writes a tree as plain files below `folder`. */
export function plainTreeWriter(folder: string): TreeVisitor {
  mkdirSync(folder, { recursive: true })
  const open = [folder]
  return {
    beginFolder: (name) => {
      open.push(join(open.at(-1)!, name))
      mkdirSync(open.at(-1)!)
    },
    endFolder: () => {
      open.pop()
    },
    file: (name, _size, pieces) => {
      const fd = openSync(join(open.at(-1)!, name), 'wx')
      try {
        pieces((piece) => writeSync(fd, piece))
        futimesSync(fd, MTIME_SEC, MTIME_SEC)
      } finally {
        closeSync(fd)
      }
    },
  }
}
