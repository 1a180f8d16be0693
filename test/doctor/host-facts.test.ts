import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readHostFacts, readMountingFacts } from '#src/doctor/host-facts.js'
import { findMissing } from '../support/needs.js'
import { runOk } from '../support/run-program.js'
import { temporaryFolder } from '../support/temporary-folder.js'

test('what this host can do', () => {
  const facts = readMountingFacts()
  expect(facts).toMatchObject({ isRoot: process.geteuid?.() === 0, kernelRelease: release() })
  // The tests find out by other means.
  if (findMissing({ fuse: true }).length === 0) expect(facts.fuseDevice).toBe('ok')
  if (findMissing({ fuse: true, root: true }).length === 0) expect(facts.maySysAdmin).toBe(true)
})

test('fusermount3 is looked for in PATH first, and its set-user-ID bit is seen', () => {
  const folder = join(temporaryFolder(), 'bin')
  mkdirSync(folder)
  writeFileSync(join(folder, 'fusermount3'), '', { mode: 0o755 })
  expect(readMountingFacts(folder).fusermount).toEqual({ path: join(folder, 'fusermount3'), isSetuid: false })
  chmodSync(join(folder, 'fusermount3'), 0o4755)
  expect(readMountingFacts(`relative:${folder}`).fusermount).toEqual({ path: join(folder, 'fusermount3'), isSetuid: true })
})

test('memory and packages', async () => {
  const facts = await readHostFacts({ oldestNode: '1', cacheBytes: 1, fuseNative: undefined })
  expect(facts.packages).toEqual([{ name: 'koffi', failure: undefined }, { name: 'zstd-napi', failure: undefined }])
  const told = Number((await runOk('awk', ['/^MemTotal/ { print $2 }', '/proc/meminfo'])).trim()) * 1024
  expect(facts.availableMemory).toBeGreaterThan(2 ** 20)
  expect(facts.availableMemory).toBeLessThanOrEqual(told)
})
