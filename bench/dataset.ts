import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runProgram, timeShell } from './measure/programs.js'
import type { Params } from './params.js'
import { PLACES, type PartSpec } from './writer/parts.js'

/** Counts changes of the writer that make data of before worth nothing. */
const WRITER_VERSION = 1

const WRITER = new URL('./writer/main.js', import.meta.url).pathname

/** The data of one run, in a folder named after what decides about them. */
export class Dataset {
  readonly folder: string
  #isWarm = false

  constructor(params: Params, parent: string = tmpdir()) {
    const { tree, wide, imageBytes, snapshots } = params
    const key = JSON.stringify([WRITER_VERSION, tree, wide, imageBytes, snapshots])
    const name = `pbsfs-bench-${createHash('sha256').update(key).digest('hex').slice(0, 12)}`
    this.folder = join(parent, name)
    mkdirSync(this.folder, { recursive: true })
  }

  /** Writes what is missing, and sees that everything is in the page cache. */
  async make(parts: readonly PartSpec[]): Promise<void> {
    const unique = [...new Map(parts.map((part) => [part.name, part])).values()]
    const missing = unique.filter((part) => !existsSync(PLACES.mark(this.folder, part.name)))
    if (missing.length === 0 && this.#isWarm) return
    if (missing.length > 0) await runProgram(process.execPath, [WRITER, this.folder, JSON.stringify(missing)])
    await timeShell('find . -type f -print0 | xargs -0 -r cat > /dev/null; sync', this.folder)
    this.#isWarm = true
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}
