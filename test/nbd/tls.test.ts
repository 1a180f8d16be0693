import { writeFileSync } from 'node:fs'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { join } from 'node:path'
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { SourceError, UsageError } from '#src/errors/errors.js'
import { parsePskFile, readCertificates, readPskFile, tlsStarter, type TlsCredentials } from '#src/nbd/tls-credentials.js'
import { noise } from '../support/chunk-rig.js'
import { MemoryStream } from '../support/memory-stream.js'
import { NbdClient, string, u16 } from '../support/nbd-client.js'
import { diskOf, nbdRig } from '../support/nbd-rig.js'
import { describeWith } from '../support/needs.js'
import { runOk, runProgram, sh } from '../support/run-program.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const folder = temporaryFolder()
const serve = nbdRig()
const content = noise(3_000_000)
const KEY = '00112233445566778899aabbccddeeff'
const pskFile = join(folder, 'keys.psk')
const TLS_REQD = 0x8000_0005

async function serveWith(credentials: TlsCredentials, limits = {}) {
  return serve([diskOf('disk', new MemoryStream(content))], { startTls: tlsStarter(credentials), limits })
}

/** A client up to the end of the TLS handshake. */
async function upgrade(client: NbdClient, options: ConnectionOptions): Promise<NbdClient> {
  await client.greet()
  expect((await client.option(5)).at(-1)!.type).toBe(1)
  client.socket.removeAllListeners('data')
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect({ socket: client.socket, ...options }, () => resolve(new NbdClient(socket)))
    socket.on('error', reject)
  })
}

const psk = (name: string, key: string): ConnectionOptions => ({
  ciphers: 'PSK-AES256-GCM-SHA384:TLS_AES_128_GCM_SHA256',
  checkServerIdentity: () => undefined,
  pskCallback: () => ({ identity: name, psk: Buffer.from(key, 'hex') }),
})

beforeAll(() => writeFileSync(pskFile, `# keys\nalice:${KEY}\n\nbob:bb:${'ab'.repeat(64)}\n`))

describe('a file of keys', () => {
  it('names and keys', () => {
    const keys = parsePskFile(readFileSync(pskFile, 'utf8'), pskFile)
    expect([...keys].map(([name, key]) => [name, key.length])).toEqual([['alice', 16], ['bob:bb', 64]])
  })

  it.each([[''], ['# nothing'], ['alice'], [':00'], ['alice:0'], ['alice:xy'], [`alice:${'00'.repeat(65)}`], [`${'a'.repeat(129)}:00`]])('"%s" is refused', (text) => {
    expect(() => parsePskFile(text, 'keys')).toThrow(UsageError)
  })

  it('one that is not there', () => {
    expect(() => readPskFile(join(folder, 'none'))).toThrow(SourceError)
  })
})

describe('a server with TLS', () => {
  it('serves nobody without it', async () => {
    const { open, log } = await serveWith(readPskFile(pskFile))
    const client = await open()
    await client.greet()
    for (const option of [3, 6, 7, 8, 9, 10, 99]) {
      expect((await client.option(option, option === 7 || option === 6 ? Buffer.concat([string('disk'), u16(0)]) : undefined)).map(({ type }) => type)).toEqual([TLS_REQD])
    }
    client.sendOption(1, Buffer.from('disk'))
    await client.closed
    expect(log.some((line) => line.includes('without TLS'))).toBe(true)
  })

  it('a key that both know', async () => {
    const { open } = await serveWith(readPskFile(pskFile))
    const client = await upgrade(await open(), psk('alice', KEY))
    expect((await client.option(5)).at(-1)!.type).toBe(0x8000_0003)
    await client.go('disk')
    expect((await client.pread(0, content.length)).equals(content)).toBe(true)
    client.end()
  })

  it.each([
    ['alice', 'ff'.repeat(16), 'its key is another one'],
    ['eve', KEY, 'it gives no key that is known here'],
  ])('%s with a wrong key or name is sent away, and the log says why', async (name, key, why) => {
    const { open, log, server } = await serveWith(readPskFile(pskFile))
    await expect(upgrade(await open(), psk(name, key))).rejects.toThrow()
    while (server.connections > 0) await new Promise((resolve) => setTimeout(resolve, 2))
    expect(log).toContainEqual(expect.stringMatching(new RegExp(`TLS could not be agreed on: ${why}.* \\(.*\\)$`)))
  })

  it('what was agreed on in the clear does not count', async () => {
    const { open } = await serveWith(readPskFile(pskFile))
    const plain = await open()
    const client = await upgrade(plain, psk('alice', KEY))
    const [info] = await client.option(7, Buffer.concat([string('disk'), u16(0)]))
    // No DF: structured replies were not asked for.
    expect(info!.data.readUInt16BE(10) & 128).toBe(0)
    client.end()
  })

  it('what is sent behind STARTTLS in the clear is not taken for something encrypted', async () => {
    const { open, log } = await serveWith(readPskFile(pskFile))
    const client = await open()
    await client.greet()
    client.write(Buffer.from('IHAVEOPT\0\0\0\x05\0\0\0\0', 'latin1'), Buffer.from('IHAVEOPT\0\0\0\x03\0\0\0\0', 'latin1'))
    await client.closed
    expect(log.some((line) => line.startsWith('warn a client was dropped'))).toBe(true)
  })

  it('a client that hangs up before the handshake is gone', async () => {
    const running = await serveWith(readPskFile(pskFile))
    const client = await running.open()
    await client.greet()
    await client.option(5)
    client.socket.end()
    while (running.server.connections > 0) await new Promise((resolve) => setTimeout(resolve, 2))
  })

  it('closing does not wait for a handshake', async () => {
    const { server, open } = await serveWith(readPskFile(pskFile), { closingMs: 1e9 })
    const client = await open()
    await client.greet()
    await client.option(5)
    await server.close()
    await client.closed
  })

  it('a handshake that goes on for ever is cut off', async () => {
    const { open } = await serveWith(readPskFile(pskFile), { negotiationMs: 100 })
    const client = await open()
    await client.greet()
    await client.option(5)
    await client.closed
  })
})

describeWith({ programs: { openssl: 'openssl' } }, 'certificates', () => {
  const at = (name: string) => join(folder, name)

  beforeAll(async () => {
    const sign = (name: string) => `openssl req -newkey rsa:2048 -nodes -keyout ${name}-key.pem -out ${name}.csr -subj /CN=localhost &&
      openssl x509 -req -in ${name}.csr -CA ca-cert.pem -CAkey ca-key.pem -CAcreateserial -out ${name}-cert.pem -days 2 -extfile <(echo subjectAltName=DNS:localhost)`
    await sh(`cd '${folder}' && openssl req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca-cert.pem -subj '/CN=test' -days 2 && ${sign('server')} && ${sign('client')} && mkdir bare && cp ca-cert.pem bare`)
  })

  const client = (own: boolean): ConnectionOptions => ({
    ca: readFileSync(at('ca-cert.pem')),
    servername: 'localhost',
    ...(own ? { cert: readFileSync(at('client-cert.pem')), key: readFileSync(at('client-key.pem')) } : {}),
  })

  it('of the server alone', async () => {
    const { open } = await serveWith(readCertificates(folder, false))
    const encrypted = await upgrade(await open(), client(false))
    await encrypted.go('disk')
    expect((await encrypted.pread(7, 1000)).equals(content.subarray(7, 1007))).toBe(true)
    encrypted.end()
  })

  it('of both: who has none is sent away', async () => {
    const { open, log } = await serveWith(readCertificates(folder, true))
    const encrypted = await upgrade(await open(), client(true))
    await encrypted.go('disk')
    expect(await encrypted.pread(0, 10)).toEqual(content.subarray(0, 10))
    encrypted.end()
    const bare = await upgrade(await open(), client(false)).then((other) => other.go('disk')).catch(() => 'refused')
    expect(bare).toBe('refused')
    expect(log).toContainEqual(expect.stringContaining('TLS could not be agreed on: it shows no certificate'))
  })

  it('a folder that lacks them, and one with garbage', () => {
    expect(() => readCertificates(at('bare'), false)).toThrow(/cannot read .*server-cert.pem/)
    writeFileSync(at('bare/server-cert.pem'), 'garbage')
    writeFileSync(at('bare/server-key.pem'), 'garbage')
    expect(() => readCertificates(at('bare'), false)).toThrow(UsageError)
  })

  describeWith({ programs: { nbdinfo: 'libnbd-bin', nbdcopy: 'libnbd-bin' } }, 'with libnbd', () => {
    const uri = (path: string, rest: string) => `nbds+unix://alice@/disk?socket=${path}&tls-hostname=localhost&${rest}`

    it('certificates', async () => {
      const { path } = await serveWith(readCertificates(folder, true))
      expect(await runOk('nbdinfo', ['--size', uri(path, `tls-certificates=${folder}`)])).toBe(`${content.length}\n`)
      expect((await runProgram('nbdinfo', ['--size', uri(path, `tls-certificates=${at('bare')}`)])).code).not.toBe(0)
      expect((await runProgram('nbdinfo', ['--size', `nbd+unix:///disk?socket=${path}`])).code).not.toBe(0)
    })

    it('a key, and a whole copy', async () => {
      const { path } = await serveWith(readPskFile(pskFile))
      await runOk('nbdcopy', [uri(path, `tls-psk-file=${pskFile}`), at('copy')])
      expect(readFileSync(at('copy')).equals(content)).toBe(true)
    })
  })
})
