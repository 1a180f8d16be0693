import { expect, test } from 'vitest'
import { DirAhead } from '#src/tree/dir-ahead.js'

async function rest(): Promise<void> {
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
}

function recorder(fails = false): { ahead: DirAhead; decoded: number[] } {
  const decoded: number[] = []
  const ahead = new DirAhead((end) => {
    decoded.push(end)
    return fails ? Promise.reject(new Error('damaged')) : Promise.resolve()
  })
  return { ahead, decoded }
}

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i)

test('goes a few directories ahead, in order, and rests until somebody follows', async () => {
  const { ahead, decoded } = recorder()
  ahead.listed(range(100, 20))
  await rest()
  expect(decoded).toEqual(range(100, 8))
  ahead.entered(100)
  await rest()
  expect(decoded).toEqual(range(100, 9))
})

test('what is in a directory comes before what follows it', async () => {
  const { ahead, decoded } = recorder()
  ahead.listed(range(0, 20))
  await rest()
  ahead.listed([500, 501])
  for (let i = 0; i < 4; i++) ahead.entered(i)
  await rest()
  expect(decoded.slice(8)).toEqual([500, 501, 8, 9])
})

test('a directory that cannot be decoded stops nothing', async () => {
  const { ahead, decoded } = recorder(true)
  ahead.listed([1, 2, 3])
  await rest()
  expect(decoded).toEqual([1, 2, 3])
})

test('after stop nothing more is decoded', async () => {
  const { ahead, decoded } = recorder()
  ahead.listed(range(0, 20))
  ahead.stop()
  await rest()
  expect(decoded.length).toBeLessThanOrEqual(1)
})
