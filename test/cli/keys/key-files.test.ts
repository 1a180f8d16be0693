import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { findDefaultKey, findKeys } from '#src/cli/keys/key-files.js'
import { UsageError } from '#src/errors/errors.js'
import { temporaryFolder } from '../../support/temporary-folder.js'

const folder = temporaryFolder()
const none = { keyfiles: [], masterKeyfiles: [] }

function addDefault(...names: string[]): string {
  const config = join(folder, ...names)
  mkdirSync(join(config, 'proxmox-backup'), { recursive: true })
  writeFileSync(join(config, 'proxmox-backup/encryption-key.json'), '{}')
  return config
}

const home = join(folder, 'home')
const inHome = addDefault('home', '.config')
const own = addDefault('own')
const shared = addDefault('shared')
const keyIn = (config: string) => join(config, 'proxmox-backup/encryption-key.json')

test('the default key: own folder before the shared ones, relative paths do not count', () => {
  expect(findDefaultKey({ HOME: home })).toBe(keyIn(inHome))
  expect(findDefaultKey({ HOME: home, XDG_CONFIG_HOME: own, XDG_CONFIG_DIRS: shared })).toBe(keyIn(own))
  expect(findDefaultKey({ HOME: home, XDG_CONFIG_HOME: 'own' })).toBe(keyIn(inHome))
  expect(findDefaultKey({ HOME: folder, XDG_CONFIG_DIRS: `relative:${folder}:${shared}` })).toBe(keyIn(shared))
  expect(findDefaultKey({ HOME: folder, XDG_CONFIG_DIRS: folder })).toBeUndefined()
})

test('named keys take the place of the default one', () => {
  expect(findKeys(none, { HOME: home })).toEqual([{ kind: 'default', path: Buffer.from(keyIn(inHome)) }])
  expect(findKeys({ ...none, keyfiles: ['a', 'b'] }, { HOME: home })).toEqual([
    { kind: 'file', path: Buffer.from('a') },
    { kind: 'file', path: Buffer.from('b') },
  ])
  expect(findKeys({ ...none, keyfd: '7' }, { HOME: home })).toEqual([{ kind: 'fd', fd: 7 }])
})

test.each([
  ['both', { ...none, keyfiles: ['a'], keyfd: '7' }],
  ['no path', { ...none, keyfiles: [''] }],
  ['no path of a master key', { ...none, masterKeyfiles: [''] }],
  ['no number', { ...none, keyfd: 'x' }],
])('refused: %s', (_, args) => {
  expect(() => findKeys(args, {})).toThrow(UsageError)
})
