import { expect, test } from 'vitest'
import { LinkCounter } from '#src/tree/link-counter.js'
import { FOREVER } from '#src/tree/tree.js'

const silent = (): void => undefined

test('counts that come quickly are exact at the first answer', async () => {
  const counter = new LinkCounter(() => Promise.resolve(new Map([[10, 3]])), silent)
  await counter.wait()
  expect([counter.count(10), counter.count(11), counter.ttl]).toEqual([3, 1, FOREVER])
  expect(counter.wait()).toBeUndefined()
})

test('a slow pass is waited for once, a quarter of a second; then every file counts 2, for a second', async () => {
  let finish: (counts: Map<number, number>) => void = silent
  const counter = new LinkCounter(() => new Promise((resolve) => (finish = resolve)), silent)
  const start = performance.now()
  await Promise.all([counter.wait(), counter.wait()])
  const waited = performance.now() - start
  expect(waited).toBeGreaterThan(200)
  expect(counter.wait()).toBeUndefined()
  expect([counter.count(10), counter.ttl]).toEqual([2, 1])
  finish(new Map([[10, 5]]))
  await new Promise((resolve) => setImmediate(resolve))
  expect([counter.count(10), counter.count(11), counter.ttl]).toEqual([5, 1, FOREVER])
})

test('a pass that fails is reported, and no file is said to have one name', async () => {
  const reported: unknown[] = []
  const counter = new LinkCounter(() => Promise.reject(new Error('damaged')), (error) => reported.push(error))
  await counter.wait()
  expect(reported).toHaveLength(1)
  expect([counter.count(1), counter.ttl]).toEqual([2, 1])
  expect(counter.wait()).toBeUndefined()
})

test('the pass runs once and can be stopped', async () => {
  let runs = 0
  let aborted = false
  const counter = new LinkCounter((signal) => {
    runs++
    return new Promise((_, reject) => signal.addEventListener('abort', () => {
      aborted = true
      reject(new Error('stopped'))
    }))
  }, () => expect.unreachable('a stopped pass is no problem'))
  counter.start()
  counter.start()
  counter.stop()
  await new Promise((resolve) => setImmediate(resolve))
  expect([runs, aborted]).toEqual([1, true])
})
