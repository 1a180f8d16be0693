import type { PartSpec } from '../writer/parts.js'
import type { Recorder, Row, Unit } from './figures.js'

/** Something that is measured once per run; its rows all come out of that one measurement. */
export interface Case {
  readonly rows: readonly Row[]
  /** Data it needs. */
  readonly parts: readonly PartSpec[]
  /** Not measured more often than this, however many runs the group has. */
  readonly mostRuns?: number
  /** `run` counts from 0. Every row is recorded exactly once. */
  measure(record: (id: string, value: number) => void, run: number): Promise<void>
}

/** Cases that are compared with each other: they take turns. */
export interface Group {
  readonly name: string
  readonly runs: number
  /** Part of the time of a whole run that this group may take, in proportion to the others. */
  readonly share: number
  readonly cases: readonly Case[]
}

/**
 * Measures the cases, interleaved. Behind the first run another begins only when it will probably
 * be over at `until` (performance.now()). A case that fails is left out from then on; `onFailure`
 * hears why.
 */
export async function measureGroup(
  group: Group,
  recorder: Recorder,
  until: number,
  onFailure: (rows: readonly Row[], error: unknown) => void,
): Promise<void> {
  const broken = new Set<Case>()
  const began = performance.now()
  for (let run = 0; run < group.runs; run++) {
    const now = performance.now()
    if (run > 0 && now + (now - began) / run > until) return
    for (const one of group.cases) {
      if (broken.has(one) || run >= (one.mostRuns ?? group.runs)) continue
      const units = new Map<string, Unit>(one.rows.map(({ id, unit }) => [id, unit]))
      try {
        await one.measure((id, value) => {
          const unit = units.get(id)
          if (unit === undefined) throw new Error(`row ${id} was not announced`)
          recorder.add(id, unit, value)
        }, run)
      } catch (error) {
        broken.add(one)
        onFailure(one.rows, error)
      }
    }
  }
}
