/**
 * Snapshot folders are named after their time in UTC. The name, not the time, is what paths are
 * made of: names that are not canonical (month 00, day 31 of a short month) are accepted the way
 * the server accepts them, by normalising, and do not come back from their time.
 */
const NAME = /^([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z$/
const MAX_EPOCH = 253402300799

/** Unix seconds, or undefined when the name is not a time. A leap second (60) is accepted. */
export function parseSnapshotTime(name: string): number | undefined {
  const match = NAME.exec(name)
  if (match === null) return undefined
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [number, number, number, number, number, number]
  if (month > 12 || day > 31 || hour > 23 || minute > 59 || second > 60) return undefined
  const date = new Date(0)
  // Date.UTC would take the years 0 to 99 for 1900 to 1999.
  date.setUTCFullYear(year, month - 1, day)
  date.setUTCHours(hour, minute, second)
  return date.getTime() / 1000
}

/** The folder name of a time; undefined outside the years 0 to 9999. */
export function formatSnapshotTime(epoch: number): string | undefined {
  if (!Number.isInteger(epoch) || epoch < -62167219200 || epoch > MAX_EPOCH) return undefined
  return new Date(epoch * 1000).toISOString().slice(0, 19) + 'Z'
}

/** Whether the name is exactly what the server writes for its time. */
export function isCanonicalSnapshotTime(name: string): boolean {
  const epoch = parseSnapshotTime(name)
  return epoch !== undefined && formatSnapshotTime(epoch) === name
}
