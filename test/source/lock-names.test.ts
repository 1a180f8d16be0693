import { expect, it } from 'vitest'
import { lockFileParts, lockSubject } from '#src/source/lock-names.js'

it.each([
  [[], 'vm/100', ['vm-100']],
  [[], 'vm/100/2022-05-02T08:11:33Z', ['vm-100-2022\\x2d05\\x2d02T08\\x3a11\\x3a33Z']],
  [[], 'vm/100/2022-05-02T08:11:33Z/.index.json.lck', ['vm-100-2022\\x2d05\\x2d02T08\\x3a11\\x3a33Z-.index.json.lck']],
  [
    ['a', 'b-c'],
    'host/elsa.example-1/2024-10-07T13:32:11Z',
    ['a:b-c', 'host-elsa.example\\x2d1-2024\\x2d10\\x2d07T13\\x3a32\\x3a11Z'],
  ],
  [
    ['n1'],
    `host/${'a-b'.repeat(40)}/2024-10-07T13:32:11Z`,
    [
      'n1',
      'hashed',
      'host-a\\x2dba\\x2dba\\x2dba\\x2dba\\x2dba\\x2dba\\x2dba\\x2dba\\x2dba\\x2dba\\x2dba\\x2dba\\x...\\x2dba\\x2dba\\x2dba\\x2dba\\x2dba\\x2dba\\x2dba\\x2db-2024\\x2d10\\x2d07T13\\x3a32\\x3a11Z-565263bf5470e7079cd08784794e62b83cace258feabef436b31a5774b1e00e1',
    ],
  ],
])('lock file of %j %s', (ns, subject, parts) => {
  expect(lockFileParts(ns, subject)).toEqual(parts)
})

it('a name of 254 bytes stands as it is, one of 255 is hashed', () => {
  expect(lockFileParts([], 'x'.repeat(254))).toEqual(['x'.repeat(254)])
  const [folder, name] = lockFileParts([], 'x'.repeat(255))
  expect(folder).toBe('hashed')
  expect(name!.length).toBe(80 + 3 + 80 + 1 + 64)
})

it('only a dot at the very start is escaped', () => {
  expect(lockFileParts([], '.a/.b.c')).toEqual(['\\x2ea-.b.c'])
})

it('is about the snapshot in its namespace', () => {
  expect(lockSubject({ group: { ns: ['prod'], type: 'ct', id: '7' }, time: '2026-01-02T00:00:00Z' })).toBe('ct/7/2026-01-02T00:00:00Z')
})
