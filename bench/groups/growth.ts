import { archiveSource, mountArgs, type Bench } from '../measure/bench.js'
import type { Case, Group } from '../measure/group.js'
import { askChild, runProgram, timeShell } from '../measure/programs.js'
import { flatPart, growthPart } from '../params.js'
import { randomOf } from '../writer/random.js'
import { folderName } from '../writer/tree-plan.js'

const MiB = 1024 * 1024
const MS = 1000
/** Folders listed, of which the median counts. */
const LISTED = 15

/** A folder of 100 files of an archive of `files`: does the size of the archive matter? */
function folderCase(bench: Bench, files: number): Case {
  const part = growthPart(files)
  const id = `growth/folder-of-${files}`
  return {
    rows: [{ id, unit: 'ms' }],
    parts: [part],
    measure: async (record, run) => {
      const mount = await bench.mounts.product(archiveSource(bench, part.name), part.name, mountArgs(bench))
      try {
        await mount.idle()
        const random = randomOf(run)
        const count = part.kind === 'split' ? part.tree.folders : 0
        const folders = new Set<string>()
        while (folders.size < Math.min(LISTED, count)) folders.add(folderName(Math.floor(random() * count)))
        const { seconds } = await askChild('list-folders', { root: mount.path, folders: [...folders] }, ['seconds'])
        record(id, seconds * MS)
      } finally {
        await mount.end()
      }
    },
  }
}

/** All names of one folder of `files`. */
function flatCase(bench: Bench, files: number): Case {
  const part = flatPart(files)
  const id = `growth/list-${files}`
  return {
    rows: [{ id, unit: 's' }],
    parts: [part],
    measure: async (record) => {
      const mount = await bench.mounts.product(archiveSource(bench, part.name), part.name, mountArgs(bench))
      try {
        await mount.idle()
        const { seconds, output } = await runProgram('/bin/sh', ['-c', `ls -f ${folderName(0)} | wc -l`], {
          cwd: mount.path,
          keepOutput: true,
        })
        // With `.` and `..`.
        if (Number(output) !== files + 2) throw new Error(`${output.trim()} names instead of ${files + 2}`)
        record(id, seconds)
      } finally {
        await mount.end()
      }
    },
  }
}

/** Memory of a mount before all its files are walked, behind that, and when the kernel has forgotten them. */
function walkCase(bench: Bench, files: number): Case {
  const part = growthPart(files)
  const rows = ['before', 'walked', 'forgotten'].map((name) => `growth/memory-${name}`)
  return {
    rows: rows.map((id) => ({ id, unit: 'MiB' })),
    parts: [part],
    measure: async (record) => {
      const mount = await bench.mounts.product(archiveSource(bench, part.name), part.name, mountArgs(bench))
      try {
        await mount.idle()
        record(rows[0]!, mount.residentBytes() / MiB)
        await timeShell(`find . -printf '%s\\n' > /dev/null`, mount.path)
        record(rows[1]!, mount.residentBytes() / MiB)
        // Makes the kernel drop every name of this mount, and of no other.
        await runProgram('mount', ['-i', '-o', 'remount,ro', mount.path])
        await mount.idle()
        record(rows[2]!, mount.residentBytes() / MiB)
      } finally {
        await mount.end()
      }
    },
  }
}

/** What grows with the archive, and what does not. */
export function growthGroup(bench: Bench): Group {
  const { growth, runs } = bench.params
  return {
    name: 'growth',
    share: 14,
    runs: Math.ceil(runs / 2),
    cases: [
      ...growth.map((files) => folderCase(bench, files)),
      ...growth.map((files) => flatCase(bench, files)),
      ...(bench.isRoot ? [walkCase(bench, growth.at(-1)!)] : []),
    ],
  }
}
