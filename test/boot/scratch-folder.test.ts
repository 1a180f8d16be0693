import { mkdirSync, mkdtempSync, readdirSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { makeScratchFolder } from '#src/boot/scratch-folder.js'
import { TargetError } from '#src/errors/errors.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const parent = () => mkdtempSync(join(folder, 'p'))
const folder = temporaryFolder()
const LONG_AGO = 1e9

it('for this user alone, and gone with all that is in it', () => {
  const scratch = makeScratchFolder(parent())
  expect(statSync(scratch.path).mode & 0o777).toBe(0o700)
  mkdirSync(join(scratch.path, 'vm/100'), { recursive: true })
  writeFileSync(join(scratch.path, 'vm/100/x'), 'x')
  scratch.remove()
  expect(readdirSync(join(scratch.path, '..'))).toEqual([])
})

it('what others left behind goes; what is in use, young, or another thing stays', () => {
  const at = parent()
  const used = makeScratchFolder(at)
  utimesSync(used.path, LONG_AGO, LONG_AGO)
  for (const name of ['pbsfs-boot-aaaaaa', 'pbsfs-boot-young1', 'pbsfs-boot-other-x', 'elsewhere']) {
    mkdirSync(join(at, name))
    writeFileSync(join(at, name, 'x'), 'x')
    if (!name.includes('young')) utimesSync(join(at, name), LONG_AGO, LONG_AGO)
  }
  symlinkSync('elsewhere', join(at, 'pbsfs-boot-linked'))
  writeFileSync(join(at, 'pbsfs-boot-afile1'), 'x')
  const made = makeScratchFolder(at)
  const names = [made, used].map(({ path }) => path.slice(at.length + 1))
  expect(readdirSync(at).sort()).toEqual([...names, 'elsewhere', 'pbsfs-boot-afile1', 'pbsfs-boot-linked', 'pbsfs-boot-other-x', 'pbsfs-boot-young1'].sort())
  expect(readdirSync(join(at, 'elsewhere'))).toEqual(['x'])
  made.remove()
  used.remove()
})

it('where none can be made: what to do', () => {
  expect(() => makeScratchFolder(join(folder, 'missing'))).toThrow(TargetError)
  expect(() => makeScratchFolder(join(folder, 'missing'))).toThrow(/cannot make a folder there \(ENOENT\)/)
})
