import { existsSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Dataset } from './dataset.js'
import { findForeign, type Foreign } from './groups/foreign.js'
import { growthGroup } from './groups/growth.js'
import { memoryGroup } from './groups/memory.js'
import { parallelGroup } from './groups/parallel.js'
import { randomGroup } from './groups/random.js'
import { restoreGroup } from './groups/restore.js'
import { sequentialGroup } from './groups/sequential.js'
import { startGroup } from './groups/start.js'
import { copyGroup, findGroup, tarGroup } from './groups/tree-work.js'
import type { Bench } from './measure/bench.js'
import { Recorder, type Figure } from './measure/figures.js'
import { measureGroup, type Case, type Group } from './measure/group.js'
import { MountSet } from './measure/mounts.js'
import { HELP, readOptions, type BenchOptions } from './options.js'
import { findProgram } from './measure/programs.js'
import { replaceLastRun } from './report/markdown.js'
import { describeMachine, formatComparison, formatFigures, formatTargets, isReport, type Report } from './report/report.js'
import { judge, targetsOf } from './report/targets.js'

const MEMORY_FOLDER = '/dev/shm'

/** Names of file systems by their magic number, as statfs(2) gives it. */
const FILE_SYSTEMS = new Map([[0xef53, 'ext4'], [0x58465342, 'xfs'], [0x9123683e, 'btrfs'], [0x01021994, 'tmpfs'], [0x794c7630, 'overlayfs']])

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** Cases with a row that is asked for, and those that a ratio of such a row needs. */
function selectCases(groups: readonly Group[], filter: RegExp, bench: Bench): Group[] {
  const ids = groups.flatMap((group) => group.cases.flatMap((one) => one.rows.map(({ id }) => id)))
  const wanted = new Set(ids.filter((id) => filter.test(id)))
  for (const { row, against } of targetsOf(bench.params)) {
    if (filter.test(row)) for (const id of against) wanted.add(id)
  }
  const isWanted = (one: Case): boolean => one.rows.some(({ id }) => wanted.has(id))
  return groups.map((group) => ({ ...group, cases: group.cases.filter(isWanted) })).filter((group) => group.cases.length > 0)
}

function allGroups(bench: Bench, { subjects, restores }: Foreign): Group[] {
  return [
    findGroup(bench, subjects),
    sequentialGroup(bench, subjects),
    tarGroup(bench, subjects),
    copyGroup(bench, subjects),
    restoreGroup(bench, restores),
    randomGroup(bench, subjects),
    parallelGroup(bench),
    startGroup(bench),
    memoryGroup(bench),
    growthGroup(bench),
  ]
}

async function measure(bench: Bench, dataset: Dataset, groups: readonly Group[], budgetSeconds: number): Promise<Report> {
  const began = performance.now()
  const since = (): string => `${((performance.now() - began) / 1000).toFixed(0)} s`
  const recorder = new Recorder()
  const failures: Record<string, string> = {}
  const shares = groups.reduce((sum, { share }) => sum + share, 0)
  let until = began
  for (const group of groups) {
    // Time that a group leaves is there for those behind it.
    until += (group.share / shares) * budgetSeconds * 1000
    say(`${since()}: data of ${group.name}`)
    await dataset.make(group.cases.flatMap((one) => one.parts))
    say(`${since()}: ${group.name}`)
    await measureGroup(group, recorder, until, (rows, error) => {
      for (const { id } of rows) failures[id] = String(error)
      say(`${rows.map(({ id }) => id).join(', ')}: ${String(error)}`)
    })
  }
  for (const [label, bytes] of bench.mounts.peaks) recorder.add(`peak/${label}`, 'MiB', bytes / 1024 / 1024)
  const figures = recorder.figures()
  return {
    version: 1,
    date: new Date().toISOString(),
    machine: describeMachine(FILE_SYSTEMS.get(statfsSync(dataset.folder).type) ?? 'unknown'),
    params: bench.params,
    figures: Object.fromEntries(figures),
    targets: judge(targetsOf(bench.params), figures),
    failures,
    seconds: (performance.now() - began) / 1000,
  }
}

function print(report: Report, compare: string | undefined): void {
  const figures = new Map<string, Figure>(Object.entries(report.figures))
  const texts = [formatFigures(figures), formatTargets(report.targets)]
  if (compare !== undefined) {
    const earlier: unknown = JSON.parse(readFileSync(compare, 'utf8'))
    if (!isReport(earlier)) throw new Error(`${compare} is not the result of a run`)
    if (JSON.stringify(earlier.params) !== JSON.stringify(report.params)) texts.push(`${compare} measured other amounts`)
    texts.push(formatComparison(figures, earlier))
  }
  process.stdout.write(`${texts.join('\n\n')}\n`)
}

async function main(options: BenchOptions): Promise<number> {
  const scratch = mkdtempSync(join(tmpdir(), 'pbsfs-bench-run-'))
  const memoryFolder = mkdtempSync(join(MEMORY_FOLDER, 'pbsfs-bench-'))
  const dataset = new Dataset(options.params, options.data)
  const mounts = new MountSet(scratch)
  const isRoot = process.geteuid?.() === 0
  const canMap = isRoot && existsSync('/dev/loop-control')
  const canCopyNbd = findProgram('nbdcopy') !== undefined
  const bench: Bench = { params: options.params, folder: dataset.folder, mounts, memoryFolder, isRoot, canMap, canCopyNbd }
  const foreign = findForeign(bench, options.vendor)
  const cleanUp = async (): Promise<void> => {
    await mounts.endAll()
    await foreign.finish().catch((error: unknown) => say(String(error)))
    rmSync(scratch, { recursive: true, force: true })
    rmSync(memoryFolder, { recursive: true, force: true })
    if (!options.keep) dataset.remove()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => void cleanUp().finally(() => process.exit(1)))
  }
  try {
    const groups = selectCases(allGroups(bench, foreign), options.filter, bench)
    if (options.list) {
      for (const { id } of groups.flatMap(({ cases }) => cases.flatMap(({ rows }) => rows))) process.stdout.write(`${id}\n`)
      return 0
    }
    const report = await measure(bench, dataset, groups, options.budgetSeconds)
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`)
    if (options.doc !== undefined) writeFileSync(options.doc, replaceLastRun(readFileSync(options.doc, 'utf8'), report))
    print(report, options.compare)
    return Object.keys(report.failures).length === 0 ? 0 : 1
  } finally {
    await cleanUp()
  }
}

// Where it is set, the runtime reads a bundle of certificates at each start, which takes as long as the rest of the start.
delete process.env['NODE_EXTRA_CA_CERTS']
const options = readOptions(process.argv.slice(2))
if (options === undefined) process.stdout.write(HELP)
else process.exitCode = await main(options)
