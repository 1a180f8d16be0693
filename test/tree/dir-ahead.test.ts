import { expect, test } from 'vitest'
import { DirAhead, type DirAheadOptions } from '#src/tree/dir-ahead.js'

async function rest(): Promise<void> {
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
}

function recorder(fails = false, options: Partial<DirAheadOptions> = {}): { ahead: DirAhead; decoded: number[] } {
  const decoded: number[] = []
  const ahead = new DirAhead((end) => {
    decoded.push(end)
    return fails ? Promise.reject(new Error('damaged')) : Promise.resolve()
  }, options)
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

test('a directory that is entered before its turn takes no place among those ahead', async () => {
  const { ahead, decoded } = recorder()
  for (let i = 0; i < 20; i++) {
    ahead.listed([i])
    ahead.entered(i)
  }
  ahead.listed(range(100, 20))
  await rest()
  expect(decoded.filter((end) => end >= 100)).toEqual(range(100, 8))
})

test('a walk that begins elsewhere is followed, whatever was left of the one before', async () => {
  const { ahead, decoded } = recorder()
  ahead.listed(range(0, 20))
  await rest()
  ahead.entered(1000)
  ahead.listed(range(1001, 20))
  await rest()
  expect(decoded).toEqual([...range(0, 8), ...range(1001, 8)])
})

test('directories that were passed by are not decoded any more', async () => {
  const { ahead, decoded } = recorder(false, { ahead: 2, evidence: 1 })
  ahead.listed(range(0, 20))
  ahead.entered(10)
  await rest()
  expect(decoded).toEqual([11, 12])
})

test('where evidence is asked for, nothing is decoded before directories were entered in their order', async () => {
  const { ahead, decoded } = recorder(false, { ahead: 2, evidence: 3 })
  ahead.listed(range(0, 20))
  for (const end of [0, 1]) ahead.entered(end)
  await rest()
  expect(decoded).toEqual([])
  ahead.entered(2)
  await rest()
  expect(decoded).toEqual([3, 4])
  // Elsewhere it is asked for anew.
  ahead.entered(500)
  ahead.listed(range(501, 10))
  ahead.entered(501)
  await rest()
  expect(decoded).toEqual([3, 4])
})
