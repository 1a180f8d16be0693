import { expect, test } from 'vitest'
import { checkUser, type KeyFacts, type UserFacts } from '#src/doctor/check-user.js'

const NOTHING: UserFacts = { unknownVariables: [], setVariables: [], keys: [], mounts: [] }
const key: KeyFacts = { path: '/k', failure: undefined, kind: 'encryption key', protection: 'scrypt', fingerprint: 'aa:bb', isOpen: false, closeWith: 'chmod 600 /k' }

test('nothing is set, held or left behind', () => {
  expect(checkUser(NOTHING).map(({ check, state }) => [check, state])).toEqual([['variables', 'ok'], ['keys', 'ok'], ['mounts', 'ok']])
})

test.each<[Partial<UserFacts>, string, string, string, string?]>([
  [{ unknownVariables: [{ name: 'PBSFS_X', nearest: 'PBSFS_Y' }] }, 'variables', 'note', 'PBSFS_X', 'PBSFS_Y'],
  [{ unknownVariables: [{ name: 'PBSFS_X', nearest: undefined }] }, 'variables', 'note', 'PBSFS_X', 'docs/cli.md'],
  [{ setVariables: ['PBSFS_FORCE'] }, 'variables', 'ok', 'PBSFS_FORCE'],
  [{ keys: [key] }, 'keys', 'ok', '/k: encryption key, protected (scrypt), fingerprint aa:bb'],
  [{ keys: [{ ...key, isOpen: true }] }, 'keys', 'note', 'others may read it', 'chmod 600 /k'],
  [{ keys: [{ ...key, failure: '/k: is no key' }] }, 'keys', 'problem', '/k: is no key', '--keyfile'],
  [{ mounts: [{ mountpoint: '/m', state: 'dead', leaveWith: 'pbsfs umount /m' }] }, 'mounts', 'problem', '/m', 'pbsfs umount /m'],
  [{ mounts: [{ mountpoint: '/m', state: 'silent', leaveWith: 'pbsfs umount /m' }] }, 'mounts', 'note', '/m', 'pbsfs umount /m'],
  [{ mounts: [{ mountpoint: '/m', state: 'running', leaveWith: '' }] }, 'mounts', 'ok', '1 running'],
])('%j', (changes, check, state, text, remedy) => {
  const found = checkUser({ ...NOTHING, ...changes }).filter((finding) => finding.check === check)
  expect(found).toHaveLength(1)
  expect(found[0]).toMatchObject({ state, text: expect.stringContaining(text) as string })
  if (remedy === undefined) expect(found[0]!.remedy).toBeUndefined()
  else expect(found[0]!.remedy).toContain(remedy)
})

test('a message that names the key already names it once', () => {
  expect(checkUser({ ...NOTHING, keys: [{ ...key, failure: '/k: broken' }] })[1]!.text).toBe('/k: broken')
})
