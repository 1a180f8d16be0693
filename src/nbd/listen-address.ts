import { isIP } from 'node:net'
import { UsageError } from '../errors/errors.js'

/** Longest path of a socket that the kernel takes: sun_path has 108 bytes, one is for the NUL; unix(7). */
const MAX_SOCKET_PATH = 107

export type ListenAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }

/** UsageError for a path that is too long for a socket. */
export function unixAddress(path: string): ListenAddress {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) {
    throw new UsageError(`the path of a socket has at most ${MAX_SOCKET_PATH} bytes, this one has ${Buffer.byteLength(path)}: ${path}`)
  }
  return { kind: 'unix', path }
}

/** `127.0.0.1:10809`, `[::1]:10809`, `localhost:0` (any free port). UsageError for anything else. */
export function parseTcpAddress(text: string): ListenAddress {
  const match = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3] ?? NaN)
  if (host === undefined || !(port <= 65535)) throw new UsageError(`--listen: "${text}" is not an address; write it like 127.0.0.1:10809 or [::1]:10809`)
  return { kind: 'tcp', host, port }
}

/** Does nobody but this host reach the address? */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/** How clients name a server and an export of it: the NBD URI, doc/uri.md beside the protocol. */
export function nbdUri(address: ListenAddress, exportName: string, tls: { readonly user: string | undefined; readonly query: string } | undefined): string {
  const scheme = tls === undefined ? 'nbd' : 'nbds'
  const name = exportName.split('/').map(encodeURIComponent).join('/').replaceAll('%3A', ':')
  const user = tls?.user === undefined ? '' : `${encodeURIComponent(tls.user)}@`
  const query = tls === undefined || tls.query === '' ? [] : [tls.query]
  if (address.kind === 'unix') {
    const socket = `socket=${address.path.split('/').map(encodeURIComponent).join('/')}`
    return `${scheme}+unix://${user}/${name}?${[socket, ...query].join('&')}`
  }
  const host = address.host.includes(':') ? `[${address.host}]` : address.host
  return `${scheme}://${user}${host}:${address.port}/${name}${query.length === 0 ? '' : `?${query.join('&')}`}`
}
