import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isPbsfsError } from '#src/errors/errors.js'
import { repoDir } from '../support/golden.js'
import { makeRandom, mutate, type Random } from './mutate.js'
import type { Target } from './targets.js'

/** Where inputs that were read wrong are kept; `corpus.test.ts` reads them ever after. */
export const corpusDir = join(repoDir, 'test/corpus')

/** Memory outside the heap and in it that a target may hold more than before. */
const MAX_GROWTH = 384 * 1024 * 1024
/** Cases between two looks at the memory, and turns given to others. */
const STEP = 500

/** What a target makes of one input: undefined (a value or a named error), or what is wrong. */
export async function judge(target: Target, bytes: Buffer): Promise<string | undefined> {
  try {
    await target.run(bytes)
    return undefined
  } catch (error) {
    if (isPbsfsError(error)) return undefined
    return error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
}

/** Runs `count` cases, the same for the same seed; the first that is read wrong is kept and thrown. */
export async function fuzz(target: Target, count: number, seed: number): Promise<void> {
  const random = makeRandom(seed)
  const start = memoryNow()
  for (let i = 0; i < count; i++) {
    const bytes = makeCase(target, i, random)
    const wrong = await judge(target, bytes)
    if (wrong !== undefined) throw new Error(`${target.name}, case ${i} of seed ${seed}, kept as ${keep(target.name, bytes)}: ${wrong}`)
    if (i % STEP === STEP - 1) {
      await new Promise((resolve) => setImmediate(resolve))
      const grown = memoryNow() - start
      if (grown > MAX_GROWTH) throw new Error(`${target.name}: ${grown} bytes more are held after ${i + 1} cases of seed ${seed}`)
    }
  }
}

function makeCase({ seeds, region, repair }: Target, i: number, random: Random): Buffer {
  const seed = seeds[i % seeds.length]!
  const changed = mutate(seed.subarray(0, region ?? seed.length), seeds, random)
  const bytes = region === undefined ? changed : Buffer.concat([changed, seed.subarray(changed.length)])
  if (random() < 0.5) repair?.(bytes)
  return bytes
}

function memoryNow(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function keep(name: string, bytes: Buffer): string {
  const path = join(corpusDir, name, `${makeName(bytes)}.bin`)
  mkdirSync(join(corpusDir, name), { recursive: true })
  writeFileSync(path, bytes)
  return path
}

function makeName(bytes: Buffer): string {
  let sum = 0x811c9dc5
  for (const byte of bytes) sum = Math.imul(sum ^ byte, 0x01000193)
  return (sum >>> 0).toString(16).padStart(8, '0')
}
