import { cpus, release, totalmem } from 'node:os'
import type { Figure, Unit } from '../measure/figures.js'
import type { Params } from '../params.js'
import type { Judged } from './targets.js'

/** What a run leaves behind, as JSON. */
export interface Report {
  readonly version: 1
  /** ISO 8601, UTC. */
  readonly date: string
  readonly machine: Readonly<Record<string, string | number>>
  readonly params: Params
  readonly figures: Readonly<Record<string, Figure>>
  readonly targets: readonly Judged[]
  /** Rows that could not be measured, and why. */
  readonly failures: Readonly<Record<string, string>>
  readonly seconds: number
}

export function describeMachine(plainFileSystem: string): Report['machine'] {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cpus: cpus().length,
    memoryMiB: Math.round(totalmem() / 1024 / 1024),
    kernel: release(),
    node: process.version,
    plainFileSystem,
  }
}

/** Three significant digits are more than the spread allows. */
export function formatValue(value: number): string {
  if (value >= 100) return value.toFixed(0)
  if (value >= 10) return value.toFixed(1)
  return value >= 1 ? value.toFixed(2) : value.toPrecision(2)
}

/** Lines of text; columns as wide as they need to be. The first is to the left, others to the right. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = rows.reduce<number[]>((all, row) => row.map((cell, i) => Math.max(cell.length, all[i] ?? 0)), [])
  return rows
    .map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ').trimEnd())
    .join('\n')
}

export function formatFigures(figures: ReadonlyMap<string, Figure>): string {
  const rows = [...figures].map(([id, { unit, median, least, most, values }]) => [
    id,
    formatValue(median),
    unit,
    `${formatValue(least)} .. ${formatValue(most)}`,
    String(values.length),
  ])
  return formatTable([['row', 'median', 'unit', 'least .. most', 'runs'], ...rows])
}

export function formatTargets(targets: readonly Judged[]): string {
  const rows = targets.map(({ work, ratio, kind, bound, beyond, isMet }) => [
    work,
    formatValue(ratio),
    `${kind === 'most' ? '<=' : '>='} ${formatValue(bound)}`,
    beyond === undefined ? '' : formatValue(beyond),
    isMet ? 'met' : 'missed',
  ])
  return formatTable([['target', 'ratio', 'bound', 'beyond', ''], ...rows])
}

/** Less is better for all but rates. */
function isBetter(unit: Unit, now: number, then: number): boolean {
  return unit === 'MB/s' ? now > then : now < then
}

/** Two runs side by side. A change counts when the runs of both do not overlap. */
export function formatComparison(figures: ReadonlyMap<string, Figure>, earlier: Report): string {
  const rows = [...figures].flatMap(([id, now]) => {
    const then = earlier.figures[id]
    if (then === undefined) return []
    const change = (now.median / then.median - 1) * 100
    const overlaps = now.least <= then.most && then.least <= now.most
    const verdict = overlaps ? '' : isBetter(now.unit, now.median, then.median) ? 'better' : 'worse'
    return [[id, formatValue(then.median), formatValue(now.median), now.unit, `${change >= 0 ? '+' : ''}${change.toFixed(0)} %`, verdict]]
  })
  return formatTable([['row', 'then', 'now', 'unit', 'change', ''], ...rows])
}

export function isReport(value: unknown): value is Report {
  if (typeof value !== 'object' || value === null) return false
  const { version, figures } = value as { [name in keyof Report]?: unknown }
  return version === 1 && typeof figures === 'object' && figures !== null
}
