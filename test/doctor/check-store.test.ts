import { expect, test } from 'vitest'
import { checkStore, type StoreFacts } from '#src/doctor/check-store.js'

const GOOD: StoreFacts = {
  path: '/s',
  snapshots: 3,
  unreadable: [],
  remarks: [],
  configuredAs: 'main',
  configProblem: undefined,
  maintenance: undefined,
  lock: { snapshot: 'host/web/T', problems: [] },
  keys: [],
}

test('a store of a server on this host', () => {
  expect(checkStore(GOOD).map(({ check, state }) => [check, state])).toEqual([['source', 'ok'], ['snapshots', 'ok'], ['locks', 'ok']])
})

test.each<[Partial<StoreFacts>, string, string, string, string?]>([
  [{ maintenance: 'datastore main is in maintenance mode offline' }, 'source', 'problem', 'offline', '--force'],
  [{ remarks: ['the cache of a bucket'] }, 'source', 'note', 'bucket', 'cannot be read'],
  [{ snapshots: 0 }, 'snapshots', 'note', 'no finished snapshot', 'right store'],
  [{ unreadable: ['host/web/T: damaged'] }, 'snapshots', 'problem', 'damaged', 'pbsfs check'],
  [{ keys: [{ fingerprint: 'aa', snapshots: 2, isHere: true }] }, 'keys', 'ok', '2 snapshots need the key aa, which is here'],
  [{ keys: [{ fingerprint: 'aa', snapshots: 1, isHere: false }] }, 'keys', 'note', '1 snapshot needs the key aa', '--keyfile'],
  [{ lock: undefined }, 'locks', 'ok', 'no server on this host'],
  [{ lock: { busy: 'in use by the server' } }, 'locks', 'note', 'in use by the server', 'Try again'],
  [{ lock: { snapshot: 'host/web/T', problems: ['EACCES'] } }, 'locks', 'note', 'host/web/T cannot be locked: EACCES', 'group backup'],
  [{ configuredAs: undefined, configProblem: 'no right to read it' , lock: { snapshot: 'a', problems: ['unknown'] } }, 'locks', 'note', 'may have the store; a cannot be locked: no right to read it; unknown', 'root'],
])('%j', (changes, check, state, text, remedy) => {
  const found = checkStore({ ...GOOD, ...changes }).find((finding) => finding.check === check && finding.state === state)
  expect(found?.text).toContain(text)
  if (remedy === undefined) expect(found?.remedy).toBeUndefined()
  else expect(found?.remedy).toContain(remedy)
})
