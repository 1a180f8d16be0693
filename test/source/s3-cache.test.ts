import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { looksLikeS3Cache } from '#src/source/s3-cache.js'

const folder = mkdtempSync(join(tmpdir(), 'pbsfs-s3-'))
afterAll(() => rmSync(folder, { recursive: true }))

test('a marker in a chunk folder tells; one behind a link is not looked at', () => {
  const marker = `${'ab'.repeat(32)}.using`
  for (const name of ['real/.chunks/abab', 'linked/.chunks', 'outside/abab']) mkdirSync(join(folder, name), { recursive: true })
  writeFileSync(join(folder, 'real/.chunks/abab', marker), '')
  writeFileSync(join(folder, 'outside/abab', marker), '')
  symlinkSync(join(folder, 'outside/abab'), join(folder, 'linked/.chunks/abab'))
  expect(looksLikeS3Cache(join(folder, 'real'))).toBe(true)
  expect(looksLikeS3Cache(join(folder, 'linked'))).toBe(false)
})
