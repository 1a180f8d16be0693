import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { corpusDir, judge } from './run-fuzz.js'
import { TARGETS } from './targets.js'

/** Every input that was ever read wrong. */
const inputs = TARGETS.flatMap((target) => {
  const folder = join(corpusDir, target.name)
  return existsSync(folder) ? readdirSync(folder).map((name) => ({ target, name, path: join(folder, name) })) : []
})

test('the corpus holds inputs, and only of structures that are read', () => {
  expect(inputs.length).toBeGreaterThan(0)
  const known = new Set(TARGETS.map(({ name }) => name))
  expect(readdirSync(corpusDir).filter((name) => !known.has(name) && name !== 'README.md')).toEqual([])
})

test.each(inputs)('$target.name/$name gives a value or a named error', async ({ target, path }) => {
  expect(await judge(target, readFileSync(path))).toBeUndefined()
})
