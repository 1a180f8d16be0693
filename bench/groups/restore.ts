import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { archiveSource, mountArgs, type Bench } from '../measure/bench.js'
import type { Case, Group } from '../measure/group.js'
import { PBSFS } from '../measure/mounts.js'
import { runProgram } from '../measure/programs.js'
import { baseParts } from '../params.js'
import { IMAGE_NAME, PLACES, type PartSpec } from '../writer/parts.js'
import type { ForeignRestore } from './foreign.js'

/** One way to have a tree or an image in a folder in memory; `command` gets where it is to be. */
interface Way {
  readonly name: string
  readonly parts: readonly PartSpec[]
  readonly command: (target: string) => readonly string[] | Promise<readonly string[]>
  readonly mostRuns?: number
}

/** From the command to the last file in its place; files and folders copied, or restored, to a tmpfs. */
export function restoreGroup(bench: Bench, foreign: readonly ForeignRestore[]): Group {
  const parts = baseParts(bench.params)
  const restore = (source: string) => (target: string) => [process.execPath, PBSFS, 'restore', ...mountArgs(bench), source, target]
  const plain = PLACES.plain(bench.folder, 'plain')
  const ways: Way[] = [
    { name: 'plain', parts: [parts.plain], command: (target) => ['cp', '-a', plain, target] },
    { name: 'split', parts: [parts.split], command: restore(archiveSource(bench, 'split')) },
    { name: 'classic', parts: [parts.classic], command: restore(archiveSource(bench, 'classic')) },
    { name: 'image', parts: [parts.image], command: restore(`${PLACES.store(bench.folder)}::vm/image/latest/${IMAGE_NAME}`) },
    ...foreign.map(({ name, command }) => ({ name, parts: [parts.plain], command, mostRuns: 2 })),
  ]
  return { name: 'restore', share: 10, runs: Math.ceil(bench.params.runs / 2), cases: ways.map((way) => caseOf(bench, way)) }
}

function caseOf(bench: Bench, { name, parts, command, mostRuns }: Way): Case {
  const id = `restore/${name}`
  return {
    rows: [{ id, unit: 's' }],
    parts,
    ...(mostRuns === undefined ? {} : { mostRuns }),
    measure: async (record) => {
      const folder = join(bench.memoryFolder, 'restored')
      mkdirSync(folder)
      try {
        const [program, ...args] = await command(join(folder, 'target'))
        const { seconds } = await runProgram(program!, args, { env: { XDG_STATE_HOME: folder } })
        record(id, seconds)
      } finally {
        rmSync(folder, { recursive: true })
      }
    },
  }
}
