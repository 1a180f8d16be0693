export type Unit = 's' | 'ms' | 'MB/s' | 'MiB'

/** One line of the result. */
export interface Row {
  readonly id: string
  readonly unit: Unit
}

export interface Figure {
  readonly unit: Unit
  readonly values: readonly number[]
  readonly median: number
  readonly least: number
  readonly most: number
}

export function summarise(unit: Unit, values: readonly number[]): Figure {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  const median = sorted.length % 2 === 1 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2
  return { unit, values, median, least: sorted[0]!, most: sorted.at(-1)! }
}

/** Takes down values while they are measured. */
export class Recorder {
  readonly #values = new Map<string, { unit: Unit; values: number[] }>()

  add(id: string, unit: Unit, value: number): void {
    const row = this.#values.get(id)
    if (row === undefined) this.#values.set(id, { unit, values: [value] })
    else row.values.push(value)
  }

  /** In the order in which rows were first recorded. */
  figures(): Map<string, Figure> {
    return new Map([...this.#values].map(([id, { unit, values }]) => [id, summarise(unit, values)]))
  }
}
