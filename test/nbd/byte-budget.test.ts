import { expect, it } from 'vitest'
import { ByteBudget } from '#src/nbd/byte-budget.js'

const never = (): void => {
  throw new Error('called')
}

it('gives room up to its limit, then in the order of asking', () => {
  const budget = new ByteBudget(100)
  const order: string[] = []
  expect(budget.take(60, never)).toBe(true)
  expect(budget.take(60, () => order.push('large'))).toBe(false)
  // It would fit, and must not pass the one that waits.
  expect(budget.take(10, () => order.push('small'))).toBe(false)
  expect(budget.waiting).toBe(2)
  budget.give(60)
  expect(order).toEqual(['large', 'small'])
  expect(budget.used).toBe(70)
  expect(budget.take(30, never)).toBe(true)
})

it('who leaves the line makes room for those behind', () => {
  const budget = new ByteBudget(100)
  const order: string[] = []
  budget.take(50, never)
  budget.take(80, never)
  const leave = never
  budget.take(20, () => order.push('next'))
  budget.leave(leave)
  expect(order).toEqual(['next'])
  expect(budget.used).toBe(70)
  budget.leave(leave)
  expect(budget.waiting).toBe(0)
})
