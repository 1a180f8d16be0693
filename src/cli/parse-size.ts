import { UsageError } from '../errors/errors.js'

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 }

/** Bytes of `268435456`, `256M`, `1.5G`, `64MiB`; units are powers of 1024. UsageError names the option. */
export function parseSize(text: string, option: string): number {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)([KMGT]?)(?:i?B)?$/i.exec(text)
  const bytes = match === null ? NaN : Math.floor(Number(match[1]) * UNITS[match[2]!.toUpperCase()]!)
  if (!Number.isSafeInteger(bytes)) throw new UsageError(`${option}: "${text}" is not a size; write it like 256M or 2G`)
  return bytes
}

/** A whole number in `[min, max]`. UsageError names the option. */
export function parseCount(text: string, option: string, min: number, max: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN
  if (!(value >= min && value <= max)) throw new UsageError(`${option}: "${text}" is not a number from ${min} to ${max}`)
  return value
}

/** `1.5 GiB`: for people. */
export function formatSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

/** `2d 3h`, `3h 20m`, `5m 1s`, `7s`: the two largest units. */
export function formatDuration(seconds: number): string {
  const parts: string[] = []
  let rest = Math.max(0, Math.floor(seconds))
  for (const [unit, length] of [['d', 86400], ['h', 3600], ['m', 60], ['s', 1]] as const) {
    const count = Math.floor(rest / length)
    rest -= count * length
    if (count > 0) parts.push(`${count}${unit}`)
  }
  return parts.slice(0, 2).join(' ') || '0s'
}
