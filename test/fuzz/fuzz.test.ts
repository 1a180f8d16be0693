import { expect, test } from 'vitest'
import { fuzz, judge } from './run-fuzz.js'
import { TARGETS } from './targets.js'

/** Cases over all targets; `npm run fuzz` asks for ten times as many, from other seeds. */
const CASES = Number(process.env['PBSFS_FUZZ_CASES'] ?? 100_000)
const SEED = Number(process.env['PBSFS_FUZZ_SEED'] ?? 1)

const weights = TARGETS.reduce((sum, { weight }) => sum + weight, 0)

for (const target of TARGETS) {
  const count = Math.ceil((CASES * target.weight) / weights)
  test(`${target.name}: ${count} damaged inputs give a value or a named error`, { timeout: Math.max(120_000, count * 20) }, async () => {
    for (const seed of target.seeds) expect(await judge(target, seed)).toBeUndefined()
    await fuzz(target, count, SEED)
  })
}

test('a bug of a decoder, and one that lets other content through, would be seen', async () => {
  const broken = { name: 'none', weight: 0, seeds: [Buffer.from('seed')], run: (bytes: Buffer) => void bytes.readUInt32LE(2) }
  expect(await judge(broken, Buffer.from('seed'))).toContain('RangeError')
  const chunk = TARGETS.find(({ name }) => name === 'chunk')!
  await expect(async () => chunk.run(chunk.seeds[4]!)).rejects.toMatchObject({ tag: 'integrity' })
})
