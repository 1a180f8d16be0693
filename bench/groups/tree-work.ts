import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench } from '../measure/bench.js'
import type { Unit } from '../measure/figures.js'
import type { Case, Group } from '../measure/group.js'
import { timeShell } from '../measure/programs.js'
import { BIG_NAME } from '../writer/tree-plan.js'
import { archiveSubject, openSubject, plainSubject, type Subject } from './subjects.js'

/** Something done with a whole tree. */
interface Work {
  readonly name: string
  readonly unit: Unit
  /** Done a second time on the same mount. */
  readonly again: boolean
  measure(root: string): Promise<number>
}

/** Rows `WORK/SUBJECT` of what lies on disk, `WORK/SUBJECT/cold` and `/again` of mounts. */
function caseOf(work: Work, subject: Subject): Case {
  const id = `${work.name}/${subject.name}`
  const ids = !subject.isMount ? [id] : work.again ? [`${id}/cold`, `${id}/again`] : [`${id}/cold`]
  return {
    rows: ids.map((row) => ({ id: row, unit: work.unit })),
    parts: subject.parts,
    ...(subject.mostRuns === undefined ? {} : { mostRuns: subject.mostRuns }),
    measure: async (record) => {
      const { root, end } = await subject.open()
      try {
        // What lies on disk is measured hot.
        if (!subject.isMount) await work.measure(root)
        for (const row of ids) record(row, await work.measure(root))
      } finally {
        await end()
      }
    },
  }
}

export function findGroup(bench: Bench, foreign: readonly Subject[]): Group {
  const work: Work = {
    name: 'find',
    unit: 's',
    again: true,
    measure: (root) => timeShell(`find . -printf '%s %T@\\n' > /dev/null`, root),
  }
  const subjects = [
    plainSubject(bench), archiveSubject(bench, 'split'), archiveSubject(bench, 'classic'),
    plainSubject(bench, 'plain-wide'), archiveSubject(bench, 'wide'), ...foreign,
  ] // prettier-ignore
  return { name: 'find', share: 14, runs: bench.params.runs, cases: subjects.map((subject) => caseOf(work, subject)) }
}

export function tarGroup(bench: Bench, foreign: readonly Subject[]): Group {
  const work: Work = {
    name: 'tar',
    unit: 's',
    again: false,
    // tar reads nothing when it writes to /dev/null itself.
    measure: (root) => timeShell(`tar cf - --exclude=./${BIG_NAME} . | cat > /dev/null`, root),
  }
  const subjects = [
    plainSubject(bench), archiveSubject(bench, 'split'), archiveSubject(bench, 'classic'), openSubject(bench),
    plainSubject(bench, 'plain-wide'), archiveSubject(bench, 'wide'), ...foreign,
  ] // prettier-ignore
  return { name: 'tar', share: 14, runs: bench.params.runs, cases: subjects.map((subject) => caseOf(work, subject)) }
}

export function copyGroup(bench: Bench, foreign: readonly Subject[]): Group {
  let count = 0
  const work: Work = {
    name: 'cp',
    unit: 's',
    again: false,
    measure: async (root) => {
      const target = join(bench.memoryFolder, `copy-${++count}`)
      mkdirSync(target)
      try {
        return await timeShell(`cp -a d* '${target}'`, root)
      } finally {
        rmSync(target, { recursive: true })
      }
    },
  }
  const subjects = [plainSubject(bench), archiveSubject(bench, 'split'), archiveSubject(bench, 'classic'), ...foreign]
  return { name: 'cp', share: 8, runs: Math.ceil(bench.params.runs / 2), cases: subjects.map((subject) => caseOf(work, subject)) }
}
