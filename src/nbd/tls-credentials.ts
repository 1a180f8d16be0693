import { readFileSync, statSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join, resolve } from 'node:path'
import { createServer, type TlsOptions, type TLSSocket } from 'node:tls'
import { messageOf, SourceError, UsageError } from '../errors/errors.js'

/** Files of a folder of certificates, named as QEMU, nbdkit and libvirt name them. */
const FILES = { cert: 'server-cert.pem', key: 'server-key.pem', ca: 'ca-cert.pem', crl: 'ca-crl.pem' } as const

/** Larger files are neither certificates nor lists of keys. */
const MAX_FILE_BYTES = 1024 * 1024

/** Longest key in bytes, and name, as the TLS library takes them. */
const MAX_PSK_BYTES = 64
const MAX_PSK_NAME = 128

/** Suites with a key that both sides know, forward secret ones first. */
const PSK_CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-PSK-CHACHA20-POLY1305',
  'ECDHE-PSK-AES256-CBC-SHA384',
  'ECDHE-PSK-AES128-CBC-SHA256',
  'DHE-PSK-AES256-GCM-SHA384',
  'DHE-PSK-AES128-GCM-SHA256',
  'PSK-AES256-GCM-SHA384',
  'PSK-AES128-GCM-SHA256',
].join(':')

/** How a server proves who it is, and what it wants to know of clients. */
export interface TlsCredentials {
  readonly options: TlsOptions
  /** A name that clients may give, when they need one. */
  readonly user: string | undefined
  /** What a client on this host needs in a URI. */
  readonly query: string
}

/**
 * The certificates of a folder. `verifyPeer`: clients need one that the folder's authority has signed. UsageError or
 * SourceError when a file is missing or cannot be read.
 */
export function readCertificates(folder: string, verifyPeer: boolean): TlsCredentials {
  const crl = join(folder, FILES.crl)
  const hasCrl = statSync(crl, { throwIfNoEntry: false }) !== undefined
  const options: TlsOptions = {
    minVersion: 'TLSv1.2',
    cert: readSmallFile(join(folder, FILES.cert)),
    key: readSmallFile(join(folder, FILES.key)),
    ...(verifyPeer ? { ca: readSmallFile(join(folder, FILES.ca)), requestCert: true, rejectUnauthorized: true } : {}),
    ...(verifyPeer && hasCrl ? { crl: readSmallFile(crl) } : {}),
  }
  check(options, folder)
  return { options, user: undefined, query: '' }
}

/** The keys of a file as psktool of GnuTLS writes it: `NAME:HEX`, one a line. UsageError says which line is wrong. */
export function readPskFile(path: string): TlsCredentials {
  const keys = parsePskFile(readSmallFile(path).toString('utf8'), path)
  const options: TlsOptions = {
    minVersion: 'TLSv1.2',
    ciphers: PSK_CIPHERS,
    dhparam: 'auto',
    // A name that is not known leads to a key that nobody has: whoever guesses names is not told which there are.
    pskCallback: (_socket: TLSSocket, name: string) => keys.get(name) ?? null,
  }
  check(options, path)
  return { options, user: [...keys.keys()][0], query: `tls-psk-file=${encodeURI(resolve(path))}` }
}

export function parsePskFile(text: string, path: string): Map<string, Buffer> {
  const keys = new Map<string, Buffer>()
  text.split('\n').forEach((line, i) => {
    if (line.trim() === '' || line.startsWith('#')) return
    const colon = line.lastIndexOf(':')
    const name = line.slice(0, colon)
    const digits = line.slice(colon + 1).trim()
    const isKey = /^(?:[0-9a-fA-F]{2})+$/.test(digits) && digits.length <= 2 * MAX_PSK_BYTES
    if (colon < 1 || !isKey || Buffer.byteLength(name) > MAX_PSK_NAME) {
      throw new UsageError(`${path}, line ${i + 1}: expected NAME:KEY, the key as hex digits for at most ${MAX_PSK_BYTES} bytes`, { path })
    }
    keys.set(name, Buffer.from(digits, 'hex'))
  })
  if (keys.size === 0) throw new UsageError(`${path} has no key; psktool -u NAME -p FILE makes one`, { path })
  return keys
}

/** Encrypts accepted sockets. Rejects when the two sides do not agree, or the client may not. */
export function tlsStarter({ options }: TlsCredentials): (socket: Socket) => Promise<Socket> {
  return (socket) =>
    new Promise((accept, reject) => {
      // One for each socket: it tells which of them an encrypted socket or a failure belongs to.
      const server = createServer(options, accept)
      server.on('tlsClientError', reject)
      // Who hangs up in the middle of a handshake is gone.
      socket.allowHalfOpen = false
      socket.once('close', () => reject(new Error('the client hung up')))
      server.emit('connection', socket)
    })
}

/** Makes a context of it, so that what is wrong with it shows at the start. */
function check(options: TlsOptions, path: string): void {
  try {
    createServer(options)
  } catch (error) {
    throw new UsageError(`${path}: TLS cannot be set up with this: ${messageOf(error)}`, { path }, { cause: error })
  }
}

function readSmallFile(path: string): Buffer {
  try {
    if (statSync(path).size > MAX_FILE_BYTES) throw new UsageError(`${path} is too long for what it should be`, { path })
    return readFileSync(path)
  } catch (error) {
    if (error instanceof UsageError) throw error
    const code = (error as NodeJS.ErrnoException).code
    throw new SourceError(`cannot read ${path} (${code})`, { path, operation: 'read', code }, { cause: error })
  }
}
