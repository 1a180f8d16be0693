import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** One entry of a tree that was backed up. Paths, targets and xattrs are hex of the bytes. */
export interface Truth {
  path: string
  type: 'dir' | 'file' | 'symlink' | 'char' | 'block' | 'fifo' | 'socket'
  mode: string
  uid: number
  gid: number
  mtime_ns: string
  nlink: number
  size?: number
  sha256?: string
  target?: string
  major?: number
  minor?: number
  same_file_as?: string
  xattrs?: Record<string, string>
}

/** The entries of `truth/NAME.jsonl.zst` in a golden folder. */
export function readTruth(golden: string, name: string): Truth[] {
  const text = execFileSync('zstd', ['-dc'], { input: readFileSync(join(golden, 'truth', `${name}.jsonl.zst`)), maxBuffer: 2 ** 28 }).toString()
  return text.trim().split('\n').map((line) => JSON.parse(line) as Truth) // prettier-ignore
}
