import { expect, test } from 'vitest'
import { ChunkCache } from '#src/cache/chunk-cache.js'

const PAGE = 4096

function put(cache: ChunkCache, key: string, length: number, fill: number): void {
  const memory = cache.reserve(length)!
  memory.bytes.fill(fill)
  cache.publish(key, memory)
}

test('a published chunk is found with its bytes', () => {
  const cache = new ChunkCache(8 * PAGE)
  put(cache, 'a', 5000, 7)
  expect(cache.get('a')!.length).toBe(5000)
  expect(cache.get('a')!.bytes.every((byte) => byte === 7)).toBe(true)
  expect(cache.get('b')).toBeUndefined()
})

test('the oldest goes first, and use makes young', () => {
  const cache = new ChunkCache(3 * PAGE)
  for (const key of ['a', 'b', 'c']) put(cache, key, PAGE, 1)
  cache.get('a')
  put(cache, 'd', PAGE, 1)
  expect(['a', 'b', 'c', 'd'].filter((key) => cache.has(key))).toEqual(['a', 'c', 'd'])
})

test('a pinned chunk keeps its memory, also when the cache has let go of it', () => {
  const cache = new ChunkCache(2 * PAGE)
  put(cache, 'a', PAGE, 1)
  const bytes = cache.get('a')!.bytes
  const unpin = cache.pin('a')
  put(cache, 'b', PAGE, 2)
  put(cache, 'c', PAGE, 3)
  expect(cache.has('a')).toBe(true)
  expect(cache.has('b')).toBe(false)
  cache.drop('a')
  put(cache, 'd', PAGE, 4)
  expect(cache.reserve(2 * PAGE)).toBeUndefined()
  expect(bytes.every((byte) => byte === 1)).toBe(true)
  unpin()
  expect(cache.reserve(2 * PAGE)).toBeDefined()
})

test('of retired chunks the last few stay, one that is used again is like any other', () => {
  const cache = new ChunkCache(100 * PAGE)
  const keys = Array.from({ length: 30 }, (_, i) => String(i))
  for (const key of keys) put(cache, key, PAGE, 1)
  for (const key of keys.slice(0, 8)) cache.retire(key)
  cache.retire('none')
  cache.get('3')
  expect(cache.stats().chunks).toBe(30)
  for (const key of keys.slice(8, 20)) cache.retire(key)
  cache.retire('19')
  const left = keys.filter((key) => cache.has(key))
  expect(left).toEqual(['3', ...keys.slice(12)])
  const bytes = cache.get('15')!.bytes
  const unpin = cache.pin('15')
  cache.retire('15')
  for (const key of keys.slice(20)) cache.retire(key)
  expect(cache.has('15')).toBe(false)
  for (let i = 0; i < 40; i++) put(cache, `new ${i}`, PAGE, 2)
  expect(bytes.every((byte) => byte === 1)).toBe(true)
  unpin()
})

test('no room is an answer, not an error', () => {
  const cache = new ChunkCache(2 * PAGE)
  const first = cache.reserve(2 * PAGE)!
  expect(cache.reserve(1)).toBeUndefined()
  cache.discard(first)
  expect(cache.reserve(1)).toBeDefined()
})

test('used bytes never exceed the limit, whatever is put in', () => {
  const cache = new ChunkCache(64 * PAGE)
  for (let i = 0; i < 500; i++) {
    put(cache, String(i % 90), 1 + ((i * 7919) % (6 * PAGE)), i & 255)
    const { usedBytes, sizeBytes } = cache.stats()
    expect(usedBytes).toBeLessThanOrEqual(sizeBytes)
  }
})
