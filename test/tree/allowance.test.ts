import { expect, test } from 'vitest'
import { Allowance } from '#src/tree/allowance.js'

async function settles(promise: Promise<void> | undefined): Promise<boolean> {
  let settled = promise === undefined
  void promise?.then(() => (settled = true))
  for (let i = 0; i < 5; i++) await Promise.resolve()
  return settled
}

test('nothing is to be had before something was earned', async () => {
  const allowance = new Allowance()
  const waiting = allowance.take(100)
  expect(await settles(waiting)).toBe(false)
  allowance.earn(1)
  expect(await settles(waiting)).toBe(true)
})

test('what was taken beyond the balance is paid back before there is more', async () => {
  const allowance = new Allowance(10)
  expect(allowance.take(100)).toBeUndefined()
  const waiting = allowance.take(1)
  allowance.earn(90)
  expect(await settles(waiting)).toBe(false)
  allowance.earn(1)
  expect(await settles(waiting)).toBe(true)
})

test('over a long time no more is taken than was earned, but for one piece', async () => {
  const allowance = new Allowance()
  let taken = 0
  const work = async (): Promise<void> => {
    for (;;) {
      await allowance.take(7)
      taken += 7
    }
  }
  void work()
  for (let earned = 0; earned < 5000; earned += 3) {
    expect(taken).toBeLessThanOrEqual(earned + 7)
    allowance.earn(3)
    for (let i = 0; i < 20; i++) await Promise.resolve()
    expect(taken).toBeGreaterThanOrEqual(earned - 7)
  }
})
