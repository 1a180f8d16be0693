import { archiveSource, type Bench } from '../measure/bench.js'
import { unmount } from '#src/fuse/mount.js'
import type { Case, Group } from '../measure/group.js'
import { PBSFS } from '../measure/mounts.js'
import { timeShell } from '../measure/programs.js'
import { baseParts } from '../params.js'
import { PLACES, type PartSpec } from '../writer/parts.js'

/** `pbsfs mount` in the background, as a person calls it, and the first listing; then other lines on the same mount. */
function startCase(bench: Bench, source: string, part: PartSpec, id: string, more: Readonly<Record<string, string>>): Case {
  return {
    rows: [id, ...Object.keys(more)].map((row) => ({ id: row, unit: 's' })),
    parts: [part],
    measure: async (record) => {
      const path = bench.mounts.reserve()
      try {
        const line = `'${process.execPath}' '${PBSFS}' mount '${source}' '${path}' > /dev/null && ls '${path}' > /dev/null`
        record(id, await timeShell(line, '/'))
        for (const [row, command] of Object.entries(more)) record(row, await timeShell(command, path))
      } finally {
        await unmount(Buffer.from(path)).catch(() => undefined)
        bench.mounts.release(path)
      }
    },
  }
}

/** From the command to the first answer. */
export function startGroup(bench: Bench): Group {
  const parts = baseParts(bench.params)
  return {
    name: 'start',
    share: 5,
    runs: bench.params.runs,
    cases: [
      startCase(bench, archiveSource(bench, 'split'), parts.split, 'start/archive', {}),
      startCase(bench, PLACES.many(bench.folder, 'many'), parts.many, 'start/many', {
        'start/many-names': 'ls -f vm/* > /dev/null',
        'start/many-long': 'ls -l vm/100 > /dev/null',
      }),
    ],
  }
}
