import { closeSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ENCRYPTION_PASSWORD, readCredential, readVariable } from '#src/cli/keys/password-sources.js'
import { KeyError, PbsfsError } from '#src/errors/errors.js'
import { temporaryFolder } from '../../support/temporary-folder.js'

const folder = temporaryFolder()
const file = join(folder, 'password')
writeFileSync(file, 'from file\r\nsecond line\n')
const read = (env: NodeJS.ProcessEnv) => readVariable(ENCRYPTION_PASSWORD, { PATH: process.env['PATH'], ...env })?.toString()

test('nothing set', () => {
  expect(read({})).toBeUndefined()
})

test('the variable itself, also when it is empty', () => {
  expect(read({ PBS_ENCRYPTION_PASSWORD: 'pä ss ' })).toBe('pä ss ')
  expect(read({ PBS_ENCRYPTION_PASSWORD: '' })).toBe('')
})

test('the first line of a file, of a command, of a descriptor', () => {
  expect(read({ PBS_ENCRYPTION_PASSWORD_FILE: file })).toBe('from file')
  expect(read({ PBS_ENCRYPTION_PASSWORD_CMD: `printf '%s\\n' 'from command' more` })).toBe('from command')
  const fd = openSync(file, 'r')
  try {
    expect(read({ PBS_ENCRYPTION_PASSWORD_FD: String(fd) })).toBe('from file')
  } finally {
    closeSync(fd)
  }
})

test('the first that is set counts', () => {
  const all = { PBS_ENCRYPTION_PASSWORD_FILE: file, PBS_ENCRYPTION_PASSWORD_CMD: 'printf command' }
  expect(read({ ...all, PBS_ENCRYPTION_PASSWORD: 'direct' })).toBe('direct')
  expect(read(all)).toBe('from file')
})

test('the command is run without a shell, and does not see passwords', () => {
  expect(read({ PBS_ENCRYPTION_PASSWORD_CMD: 'echo $PATH ; true' })).toBe('$PATH ; true')
  const env = { PBS_PASSWORD: 'server', PBSFS_MASTER_KEY_PASSWORD: 'master', PBS_ENCRYPTION_PASSWORD_CMD: 'sh -c "env | grep PASSWORD; echo none"' }
  expect(read(env)).toBe('none')
})

describe('what cannot be used: an error that does not hold the value', () => {
  const latin1 = join(folder, 'latin1')
  writeFileSync(latin1, Buffer.from([0x70, 0xe4, 0x0a]))
  test.each<[string, NodeJS.ProcessEnv, string]>([
    ['a file that is not there', { PBS_ENCRYPTION_PASSWORD_FILE: join(folder, 'none') }, 'no such file'],
    ['a folder', { PBS_ENCRYPTION_PASSWORD_FILE: folder }, 'a folder'],
    ['a password that is not UTF-8', { PBS_ENCRYPTION_PASSWORD_FILE: latin1 }, 'PBS_ENCRYPTION_PASSWORD_FILE: not valid UTF-8'],
    ['a variable that is not UTF-8', { PBS_ENCRYPTION_PASSWORD: 'geheim\ufffd' }, 'PBS_ENCRYPTION_PASSWORD: not valid UTF-8'],
    ['no number', { PBS_ENCRYPTION_PASSWORD_FD: 'geheim' }, 'not the number of a descriptor'],
    ['a descriptor that is not open', { PBS_ENCRYPTION_PASSWORD_FD: '9999' }, 'EBADF'],
    ['a command that fails', { PBS_ENCRYPTION_PASSWORD_CMD: 'sh -c "echo geheim; exit 7"' }, 'exit code 7'],
    ['a command that is not there', { PBS_ENCRYPTION_PASSWORD_CMD: 'no-such-program geheim' }, 'ENOENT'],
    ['no command line', { PBS_ENCRYPTION_PASSWORD_CMD: '"geheim' }, 'not a command line'],
    ['endless output', { PBS_ENCRYPTION_PASSWORD_CMD: 'yes geheim' }, 'ENOBUFS'],
  ])('%s', (_, env, message) => {
    try {
      read(env)
      expect.unreachable()
    } catch (error) {
      expect(error).toBeInstanceOf(KeyError)
      expect((error as Error).message).toMatch(message)
      const { message: text, fields, cause } = error as PbsfsError
      expect(JSON.stringify([text, fields, cause ?? null])).not.toContain('geheim')
    }
  })
})

test('what systemd hands to a unit: the whole file', () => {
  expect(readCredential({})).toBeUndefined()
  expect(readCredential({ CREDENTIALS_DIRECTORY: folder })).toBeUndefined()
  writeFileSync(join(folder, 'proxmox-backup-client.encryption-password'), 'two\nlines\n')
  expect(readCredential({ CREDENTIALS_DIRECTORY: folder })?.toString()).toBe('two\nlines\n')
})
