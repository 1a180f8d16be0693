import { describe, expect, test } from 'vitest'
import { parseKeyFile } from '#src/keys/key-file.js'
import { parseMasterKey, unlockMasterKey } from '#src/keys/master-key.js'
import { openKeyFile, unlockKeyFile } from '#src/keys/unlock-key.js'
import { formatFingerprint } from '#src/keys/fingerprint.js'
import { keyFileFields, TEST_FINGERPRINT } from '../support/key-writer.js'
import { generateRsaPair } from '../support/rsa-pair.js'

const fields = keyFileFields(undefined, { fingerprint: TEST_FINGERPRINT })
const pretty = JSON.stringify(fields, null, 2)
/** What a picture made of block characters looks like. */
const picture = '█▀▀▀▀▀█ ▄▀ █▀▀▀▀▀█\n█ ███ █ ▀▄ █ ███ █\n▀▀▀▀▀▀▀ █▄ ▀▀▀▀▀▀▀\n'

function print(json: string, subject = ''): string {
  return `${subject}-----BEGIN PROXMOX BACKUP KEY-----\n${json}\n-----END PROXMOX BACKUP KEY-----\n${picture}`
}

function fingerprintOf(text: string): string {
  return formatFingerprint(openKeyFile(parseKeyFile(Buffer.from(text), 'paper')).fingerprint)
}

describe('a printed key', () => {
  test.each<[string, string]>([
    ['as text', print(pretty)],
    ['with a subject', print(pretty, 'Subject: the web server\n\n')],
    ['on one line', print(JSON.stringify(fields))],
    ['with the line ends of Windows', print(pretty).replaceAll('\n', '\r\n')],
    ['lines wrapped in the middle of values', print(pretty.replace(/(.{20})/g, '$1\n   '))],
    ['as HTML', `<html><body><div><p>\n${print(pretty)}</p><img src="data:image/svg+xml;base64,AAAA"></div></body></html>`],
    ['as HTML with entities', print(pretty.replaceAll('"', '&quot;'))],
    ['as HTML with a break in every line', print(pretty.replaceAll('\n', '<br/>\n'))],
  ])('%s', (_, text) => {
    expect(fingerprintOf(text)).toBe(TEST_FINGERPRINT)
    expect(parseKeyFile(Buffer.from(text), 'paper').form).toBe('paper')
  })

  test('protected by a password', () => {
    const protectedFields = keyFileFields(undefined, { password: 'secret', fingerprint: TEST_FINGERPRINT })
    const file = parseKeyFile(Buffer.from(print(JSON.stringify(protectedFields, null, 2))), 'paper')
    expect(unlockKeyFile(file, Buffer.from('secret'))?.fingerprint).toBe(TEST_FINGERPRINT.replaceAll(':', ''))
  })

  test('a letter that was read wrongly is found', () => {
    expect(() => fingerprintOf(print(pretty.replace('AAECAwQF', 'AAECAwOF')))).toThrow('damaged key file: the key in it is')
  })

  test('without its end it is no key', () => {
    expect(() => fingerprintOf(print(pretty).split('-----END')[0]!)).toThrow('not a key file')
  })
})

describe('a printed master key: numbered lines in blocks, a picture below each', () => {
  const { privateKey } = generateRsaPair(2048)
  const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' }).toString()
  const traditional = privateKey.export({ type: 'pkcs1', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' }).toString()

  test.each([
    ['PKCS#8', pkcs8],
    ['traditional', traditional],
  ])('%s', (_, pem) => {
    const lines = pem.trimEnd().split('\n').map((line, i) => `${String(i).padStart(2)}: ${line}`) // prettier-ignore
    let text = 'Subject: master\n\n'
    for (let i = 0; i < lines.length; i += 5) text += `${lines.slice(i, i + 5).join('\n')}\n${picture}\f\n`
    const key = unlockMasterKey(parseMasterKey(Buffer.from(text), 'paper'), Buffer.from('secret'))
    expect(key?.equals(privateKey)).toBe(true)
  })
})
