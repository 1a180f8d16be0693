import { expect, test, vi } from 'vitest'
import { DirTables, type Directory } from '#src/tree/dir-tables.js'

/** A directory that says it takes so much memory. */
function directory(byteLength: number, unreadable = 0): Directory {
  return { table: { byteLength, unreadable } as Directory['table'], blocks: new Map(), children: [] }
}

test('a directory is decoded once, however many ask', async () => {
  const tables = new DirTables()
  let decoded = 0
  const decode = async (): Promise<Directory> => {
    decoded++
    return directory(1000)
  }
  await Promise.all([tables.get(1, 10, decode), tables.get(1, 10, decode)])
  expect(tables.get(1, 10, decode)).not.toBeInstanceOf(Promise)
  await tables.get(2, 10, decode)
  expect(decoded).toBe(2)
})

test('the bound in bytes holds, the oldest goes', async () => {
  const tables = new DirTables(10_000)
  for (let end = 0; end < 20; end++) await tables.get(1, end, async () => directory(2000))
  expect(tables.stats().bytes).toBeLessThanOrEqual(10_000)
  expect(tables.get(1, 19, async () => directory(1))).not.toBeInstanceOf(Promise)
  expect(tables.get(1, 0, async () => directory(1))).toBeInstanceOf(Promise)
})

test('one that is larger than the bound stays while it is used, and goes when nobody comes back', async () => {
  vi.useFakeTimers()
  const tables = new DirTables(10_000)
  const decode = async (): Promise<Directory> => directory(1_000_000)
  await tables.get(1, 5, decode)
  for (let i = 0; i < 5; i++) {
    vi.advanceTimersByTime(8000)
    expect(tables.get(1, 5, decode)).not.toBeInstanceOf(Promise)
  }
  vi.advanceTimersByTime(11_000)
  expect(tables.get(1, 5, decode)).toBeInstanceOf(Promise)
  vi.useRealTimers()
})

test('failures are not kept, and a table with entries that could not be read only for a listing', async () => {
  vi.useFakeTimers()
  const tables = new DirTables()
  await expect(tables.get(1, 1, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  await tables.get(1, 1, async () => directory(100, 1))
  expect(tables.get(1, 1, async () => directory(100))).not.toBeInstanceOf(Promise)
  vi.advanceTimersByTime(2500)
  expect(tables.get(1, 1, async () => directory(100))).toBeInstanceOf(Promise)
  vi.useRealTimers()
})
