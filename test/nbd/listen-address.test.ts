import { describe, expect, it } from 'vitest'
import { UsageError } from '#src/errors/errors.js'
import { isLoopback, nbdUri, parseTcpAddress, unixAddress } from '#src/nbd/listen-address.js'

describe('addresses', () => {
  it.each([
    ['127.0.0.1:10809', '127.0.0.1', 10809],
    ['[::1]:0', '::1', 0],
    ['localhost:65535', 'localhost', 65535],
  ])('%s', (text, host, port) => {
    expect(parseTcpAddress(text)).toEqual({ kind: 'tcp', host, port })
  })

  it.each(['10809', ':10809', '127.0.0.1', '127.0.0.1:', '127.0.0.1:65536', '::1:10809', '127.0.0.1:1x', ''])('"%s" is none', (text) => {
    expect(() => parseTcpAddress(text)).toThrow(UsageError)
  })

  it('the path of a socket has a limit', () => {
    expect(unixAddress(`/${'a'.repeat(106)}`)).toEqual({ kind: 'unix', path: `/${'a'.repeat(106)}` })
    expect(() => unixAddress(`/${'a'.repeat(107)}`)).toThrow(/at most 107/)
    expect(() => unixAddress(`/${'ü'.repeat(60)}`)).toThrow(UsageError)
  })

  it.each([['127.0.0.1', true], ['127.8.8.8', true], ['::1', true], ['localhost', true], ['0.0.0.0', false], ['::', false], ['192.168.1.1', false], ['127.example.org', false]])('%s is of this host alone: %s', (host, expected) => {
    expect(isLoopback(host)).toBe(expected)
  })
})

describe('URIs', () => {
  const unix = unixAddress('/run/a b/n.sock')
  it.each([
    [nbdUri(unix, 'drive-scsi0', undefined), 'nbd+unix:///drive-scsi0?socket=/run/a%20b/n.sock'],
    [nbdUri(unix, '', undefined), 'nbd+unix:///?socket=/run/a%20b/n.sock'],
    [nbdUri(unix, 'vm/100/2026-01-02T00:00:00Z/größe 1?', undefined), 'nbd+unix:///vm/100/2026-01-02T00:00:00Z/gr%C3%B6%C3%9Fe%201%3F?socket=/run/a%20b/n.sock'],
    [nbdUri({ kind: 'tcp', host: '::1', port: 5 }, 'd', undefined), 'nbd://[::1]:5/d'],
    [nbdUri({ kind: 'tcp', host: 'h', port: 5 }, 'd', { user: 'al ice', query: 'tls-psk-file=/k' }), 'nbds://al%20ice@h:5/d?tls-psk-file=/k'],
    [nbdUri(unix, 'd', { user: undefined, query: '' }), 'nbds+unix:///d?socket=/run/a%20b/n.sock'],
  ])('%s', (made, expected) => {
    expect(made).toBe(expected)
  })
})
