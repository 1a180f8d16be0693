/** An option that was given several times is an array; these make one shape of all. */
export function listOf(value: unknown): string[] {
  const list: unknown[] = Array.isArray(value) ? value : [value]
  return list.filter((item) => typeof item === 'string')
}

/** The last one counts. */
export function lastOf(value: unknown): string | undefined {
  return listOf(value).at(-1)
}
