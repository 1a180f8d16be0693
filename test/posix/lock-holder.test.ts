import { closeSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { tryLock } from '#src/posix/flock.js'
import { findLockHolder } from '#src/posix/lock-holder.js'
import { temporaryFolder } from '../support/temporary-folder.js'

test('tells who has the lock of a file, and that nobody has', () => {
  const path = join(temporaryFolder(), 'file')
  writeFileSync(path, '')
  const [holder, looker] = [openSync(path, 'r'), openSync(path, 'r')]
  expect(findLockHolder(looker)).toBeUndefined()
  expect(tryLock(holder, 'exclusive')).toBeUndefined()
  expect(findLockHolder(looker)).toBe(process.pid)
  closeSync(holder)
  expect(findLockHolder(looker)).toBeUndefined()
  closeSync(looker)
})
