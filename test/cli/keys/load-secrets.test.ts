import { chmodSync, closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadSecrets } from '#src/cli/keys/load-secrets.js'
import { bytesToArg } from '#src/cli/raw-args.js'
import { KeyError } from '#src/errors/errors.js'
import type { MountSecrets } from '#src/keys/secrets.js'
import { testKey } from '../../support/datastore-writer.js'
import { encodeKeyFile, encryptForMaster, makeTestKey } from '../../support/key-writer.js'
import { temporaryFolder } from '../../support/temporary-folder.js'
import { generateRsaPair } from '../../support/rsa-pair.js'

const folder = temporaryFolder()
const otherKey = makeTestKey(7)
const master = generateRsaPair(2048)

function write(name: string, bytes: Uint8Array | string, mode = 0o600): string {
  const path = join(folder, name)
  writeFileSync(path, bytes, { mode })
  chmodSync(path, mode)
  return path
}

const plain = write('plain', encodeKeyFile())
const locked = write('locked', encodeKeyFile(otherKey, { password: 'correct', hint: 'horse' }))
const pem = write('master', master.privateKey.export({ type: 'pkcs8', format: 'pem' }))
const lockedPem = write('locked-master', master.privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'passphrase' }))

interface Given {
  keyfiles?: string[]
  keyfd?: string
  masterKeyfiles?: string[]
  env?: NodeJS.ProcessEnv
  /** What is typed, one after the other; absent: no terminal. */
  answers?: string[]
}

async function load({ keyfiles = [], masterKeyfiles = [], keyfd, env = {}, answers }: Given) {
  const told: string[] = []
  const prompts: string[] = []
  const typed: Buffer[] = []
  const left = [...(answers ?? [])]
  const parts = {
    env: { HOME: '/nowhere', ...env },
    ask: async (prompt: string) => {
      prompts.push(prompt)
      if (answers === undefined) return undefined
      typed.push(Buffer.from(left.shift() ?? 'nothing more'))
      return typed.at(-1)
    },
    tell: (text: string) => void told.push(text),
  }
  const secrets = await loadSecrets({ keyfiles, masterKeyfiles, keyfd }, parts).catch((error: unknown) => error as Error)
  // Whatever came of it, no password stays in memory.
  for (const password of typed) expect(password.every((byte) => byte === 0)).toBe(true)
  return { secrets, told: told.join(''), prompts }
}

const bytesOf = (secrets: MountSecrets | Error) => {
  if (secrets instanceof Error) throw secrets
  return secrets.keys.map((key) => key.export())
}

describe('encryption keys', () => {
  test('none', async () => {
    expect(await load({})).toEqual({ secrets: { keys: [], masterKeys: [] }, told: '', prompts: [] })
  })

  test('several, one with a password of the environment', async () => {
    const { secrets, told } = await load({ keyfiles: [plain, locked], env: { PBS_ENCRYPTION_PASSWORD: 'correct' } })
    expect(bytesOf(secrets)).toEqual([Buffer.from(testKey.encKey), Buffer.from(otherKey.encKey)])
    expect(told).toBe('')
  })

  test('the name of a file is bytes', async () => {
    const path = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff, 0x0a])])
    writeFileSync(path, encodeKeyFile(), { mode: 0o600 })
    expect(bytesOf((await load({ keyfiles: [bytesToArg(path)] })).secrets)).toHaveLength(1)
  })

  test('from a descriptor', async () => {
    const fd = openSync(plain, 'r')
    const { secrets } = await load({ keyfd: String(fd) })
    closeSync(fd)
    expect(bytesOf(secrets)).toEqual([Buffer.from(testKey.encKey)])
  })

  test('a password is asked for, and once for all keys that have it', async () => {
    const second = write('second', encodeKeyFile(testKey, { password: 'correct', kdf: 'PBKDF2' }))
    const { secrets, prompts } = await load({ keyfiles: [locked, second], answers: ['correct'] })
    expect(bytesOf(secrets)).toHaveLength(2)
    expect(prompts).toEqual([`Password of the key ${locked}: `])
  })

  test('a wrong answer may be mended, three of them not', async () => {
    const mended = await load({ keyfiles: [locked], answers: ['wrong', 'correct'] })
    expect(bytesOf(mended.secrets)).toHaveLength(1)
    expect(mended.told).toBe(`pbsfs: ${locked}: wrong password (hint: horse), or the file is damaged; once more\n`)
    const failed = await load({ keyfiles: [locked], answers: ['wrong1', 'wrong2', 'wrong3', 'correct'] })
    expect(failed.secrets).toBeInstanceOf(KeyError)
    expect(failed.prompts).toHaveLength(3)
  })

  test.each<[string, Given, string]>([
    ['a wrong password', { keyfiles: [locked], env: { PBS_ENCRYPTION_PASSWORD: 'geheim' } }, 'wrong password (hint: horse)'],
    ['a short password', { keyfiles: [locked], env: { PBS_ENCRYPTION_PASSWORD: 'abcd' } }, 'too short'],
    ['no terminal', { keyfiles: [locked] }, 'no terminal to ask on'],
    ['no file', { keyfiles: [join(folder, 'none')] }, 'there is no such file'],
    ['a damaged file', { keyfiles: [write('damaged', encodeKeyFile().subarray(0, 50))] }, 'not a key file, or damaged'],
    ['a key pair', { keyfiles: [pem] }, '--master-keyfile'],
    ['a key that only a master key opens', { keyfiles: [write('rsa', encryptForMaster(encodeKeyFile(), master.publicKey))] }, 'encrypted for a master key'],
    ['a master key that is none', { masterKeyfiles: [plain] }, 'no private key in PEM form'],
    ['a wrong passphrase', { masterKeyfiles: [lockedPem], env: { PBSFS_MASTER_KEY_PASSWORD: 'geheim' } }, 'wrong passphrase of the master key'],
  ])('%s: its own sentence', async (_, given, sentence) => {
    const { secrets } = await load(given)
    expect(secrets).toBeInstanceOf(KeyError)
    expect((secrets as Error).message).toMatch(sentence)
    expect(JSON.stringify([(secrets as KeyError).message, (secrets as KeyError).fields])).not.toContain('geheim')
  })

  test('a file that others can read is told of', async () => {
    const { secrets, told } = await load({ keyfiles: [write('open', encodeKeyFile(), 0o644)] })
    expect(bytesOf(secrets)).toHaveLength(1)
    expect(told).toMatch(/can be read by others \(mode 0644\); better: chmod 600/)
  })
})

describe('the default key', () => {
  const config = join(folder, 'config/proxmox-backup')
  mkdirSync(config, { recursive: true })
  const env = { XDG_CONFIG_HOME: join(folder, 'config') }
  const put = (bytes: Uint8Array) => writeFileSync(join(config, 'encryption-key.json'), bytes, { mode: 0o600 })

  test('is taken when no other is named', async () => {
    put(encodeKeyFile())
    expect(bytesOf((await load({ env })).secrets)).toEqual([Buffer.from(testKey.encKey)])
    const named = await load({ env: { ...env, PBS_ENCRYPTION_PASSWORD: 'correct' }, keyfiles: [locked] })
    expect(bytesOf(named.secrets)).toEqual([Buffer.from(otherKey.encKey)])
  })

  test('is no reason to fail: without password, damaged, with the wrong password', async () => {
    put(encodeKeyFile(testKey, { password: 'correct' }))
    for (const given of [{ env }, { env: { ...env, PBS_ENCRYPTION_PASSWORD: 'wrong!' } }]) {
      const { secrets, told } = await load(given)
      expect(secrets).toEqual({ keys: [], masterKeys: [] })
      expect(told).toMatch('going on without the default key: ')
    }
    const empty = await load({ env, answers: [''] })
    expect(empty.secrets).toEqual({ keys: [], masterKeys: [] })
    expect(empty.prompts[0]).toMatch('empty: go on without it')
    put(Buffer.from('{'))
    expect((await load({ env })).told).toMatch('going on without the default key: ')
  })
})

describe('master keys', () => {
  test('without a passphrase, with one of the environment, with one that is asked for', async () => {
    for (const given of [
      { masterKeyfiles: [pem] },
      { masterKeyfiles: [lockedPem], env: { PBSFS_MASTER_KEY_PASSWORD: 'passphrase' } },
      { masterKeyfiles: [lockedPem], env: { PBS_ENCRYPTION_PASSWORD: 'passphrase' } },
      { masterKeyfiles: [lockedPem], answers: ['wrong', 'passphrase'] },
    ]) {
      const { secrets } = await load(given)
      if (secrets instanceof Error) throw secrets
      expect(secrets.masterKeys.map((key) => key.equals(master.privateKey))).toEqual([true])
    }
  })

  test('open a key that was taken out of a backup', async () => {
    const fromBackup = write('rsa-encrypted.key', encryptForMaster(encodeKeyFile(), master.publicKey))
    const { secrets } = await load({ keyfiles: [fromBackup], masterKeyfiles: [pem] })
    expect(bytesOf(secrets)).toEqual([Buffer.from(testKey.encKey)])
  })
})
