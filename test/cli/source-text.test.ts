import { describe, expect, test } from 'vitest'
import { localStore, vendorSourceText } from '#src/cli/source-text.js'
import { bytesToArg } from '#src/cli/raw-args.js'
import { UsageError } from '#src/errors/errors.js'

const TIME = '2026-01-02T00:00:00Z'

describe('vendorSourceText', () => {
  test.each([
    [`host/web/${TIME}`, 'root.pxar', '/store', '', `/store::host/web/${TIME}/root.pxar`],
    [`host/web/${TIME}`, 'root.pxar.didx', '/store', '', `/store::host/web/${TIME}/root.pxar`],
    [`host/web/${TIME}`, 'root.mpxar', '/store', '', `/store::host/web/${TIME}/root.pxar`],
    [`host/web/${TIME}`, 'root.mpxar.didx', '/store', '', `/store::host/web/${TIME}/root.pxar`],
    [`host/web/${TIME}`, 'root.ppxar.didx', '/store', '', `/store::host/web/${TIME}/root.pxar`],
    [`vm/100/${TIME}`, 'drive-scsi0.img.fidx', 'main', '', `main::vm/100/${TIME}/drive-scsi0.img`],
    ['host/web', 'root.pxar', './store', '', './store::host/web/latest/root.pxar'],
    [`ct/200/${TIME}`, 'root.pxar', '/store', 'prod/eu', `/store::ns/prod/ns/eu/ct/200/${TIME}/root.pxar`],
    [`host/web/${TIME}`, 'root.pxar', '/a::b\\c', '', `/a\\x3a:b\\x5cc::host/web/${TIME}/root.pxar`],
  ])('%s %s --repository %s --ns %s', (snapshot, archive, repository, namespace, text) => {
    expect(vendorSourceText({ snapshot, archive, repository, namespace }).toString('latin1')).toBe(text)
  })

  test('keeps the bytes of a path', () => {
    const repository = bytesToArg(Buffer.from([0x2f, 0xff, 0xc3, 0xbc]))
    const text = vendorSourceText({ snapshot: 'host/a', archive: 'x.pxar', repository, namespace: '' })
    expect(text.subarray(0, 6).toString('hex')).toBe('2fffc3bc3a3a')
  })

  test.each([
    ['web', 'root.pxar'],
    ['host/web/2026', 'root.pxar'],
    ['hosts/web', 'root.pxar'],
    ['host/web', ''],
    ['host/web', 'a/b.pxar'],
  ])('refuses %s %s', (snapshot, archive) => {
    expect(() => vendorSourceText({ snapshot, archive, repository: '/s', namespace: '' })).toThrow(UsageError)
  })
})

describe('localStore', () => {
  test.each([
    ['/store', '/store'],
    ['../store', '../store'],
    ['a/b', 'a/b'],
    ['main', 'main'],
    ['localhost:main', 'main'],
    ['root@pam@localhost:main', 'main'],
    ['root@pam!token@127.0.0.1:8007:main', 'main'],
    ['[::1]:main', 'main'],
  ])('%s', (repository, store) => expect(localStore(repository)).toBe(store))

  test.each(['pbs.example.com:main', 'root@pam@10.0.0.1:8007:main', ''])('refuses "%s"', (repository) => {
    expect(() => localStore(repository)).toThrow(UsageError)
  })
})
