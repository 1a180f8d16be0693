import { mkdirSync, realpathSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { canonicalPath } from '#src/posix/canonical-path.js'
import { temporaryFolder } from '../support/temporary-folder.js'

test('links are resolved as far as the path is there', () => {
  const folder = realpathSync(temporaryFolder())
  mkdirSync(join(folder, 'real/inner'), { recursive: true })
  symlinkSync('real', join(folder, 'link'))
  symlinkSync('/', join(folder, 'root'))
  const of = (path: string) => canonicalPath(Buffer.from(path)).toString()
  expect(of(join(folder, 'link/inner'))).toBe(join(folder, 'real/inner'))
  expect(of(join(folder, 'link/new/deep'))).toBe(join(folder, 'real/new/deep'))
  expect(of(`${folder}/link/inner/../x`)).toBe(join(folder, 'real/x'))
  expect(of(join(folder, 'root/no-such-folder/x'))).toBe('/no-such-folder/x')
  expect(of('/no-such-folder')).toBe('/no-such-folder')
  expect(of('/')).toBe('/')
})
