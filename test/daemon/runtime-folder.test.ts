import { chmodSync, chownSync, lstatSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { findRuntimeFolder, openRuntimeFolder, runtimeFolderPath } from '#src/daemon/runtime-folder.js'
import { SourceError } from '#src/errors/errors.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const uid = process.geteuid!()
/** Rules of ordinary users are the same for any number that is not 0. */
const asUser = uid === 0 ? 12345 : uid
const xdgRuntimeDir = temporaryFolder()
if (uid === 0) chownSync(xdgRuntimeDir, asUser, asUser)
const folder = join(xdgRuntimeDir, 'pbsfs')
const environment = { uid: asUser, xdgRuntimeDir }

afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** As root the folder is made by root; give it to the user the rules are asked for. */
function make(mode = 0o700): void {
  mkdirSync(folder)
  chmodSync(folder, mode)
  if (uid === 0) chownSync(folder, asUser, asUser)
}

describe('runtimeFolderPath', () => {
  test('by user', () => {
    expect(runtimeFolderPath({ uid: 0, xdgRuntimeDir })).toBe('/run/pbsfs')
    expect(runtimeFolderPath(environment)).toBe(folder)
    expect(runtimeFolderPath({ uid: asUser, xdgRuntimeDir: undefined })).toBe(`/tmp/pbsfs-${asUser}`)
  })

  test('a runtime directory that is missing, relative or not ours does not count', () => {
    for (const other of [join(xdgRuntimeDir, 'nope'), 'run', '/']) {
      expect(runtimeFolderPath({ uid: 12344, xdgRuntimeDir: other })).toBe('/tmp/pbsfs-12344')
    }
  })
})

describe('findRuntimeFolder', () => {
  test('does not make one', () => {
    expect(findRuntimeFolder(environment)).toBeUndefined()
    expect(lstatSync(folder, { throwIfNoEntry: false })).toBeUndefined()
  })

  test('finds it, and closes it to others', () => {
    make(0o777)
    expect(findRuntimeFolder(environment)).toBe(folder)
    expect(lstatSync(folder).mode & 0o777).toBe(0o700)
  })

  test('refuses what another user prepared', () => {
    make()
    if (uid === 0) chownSync(folder, 54321, 54321)
    const other = uid === 0 ? environment : { uid: uid + 1, xdgRuntimeDir: undefined }
    if (uid === 0) expect(() => findRuntimeFolder(other)).toThrow('belongs to user 54321')
  })

  test('refuses a link and a file', () => {
    symlinkSync(xdgRuntimeDir, folder)
    expect(() => findRuntimeFolder(environment)).toThrow(SourceError)
    expect(() => openRuntimeFolder(environment)).toThrow('is not a directory')
    rmSync(folder)
    writeFileSync(folder, '')
    expect(() => openRuntimeFolder(environment)).toThrow('is not a directory')
  })
})

test('openRuntimeFolder makes it for its owner alone, twice', () => {
  const own = { uid, xdgRuntimeDir }
  if (uid === 0) return expect(openRuntimeFolder(own)).toBe('/run/pbsfs')
  expect(openRuntimeFolder(own)).toBe(folder)
  expect(openRuntimeFolder(own)).toBe(folder)
  expect(lstatSync(folder).mode & 0o777).toBe(0o700)
})
