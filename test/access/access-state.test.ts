import fc from 'fast-check'
import { mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { emptyState, encodeState, parseState, type AccessState, type DiskState, type GroupPlace } from '#src/access/access-state.js'
import { StateFiles } from '#src/access/state-files.js'
import { stateFolder } from '#src/access/state-folder.js'
import { FormatError, isPbsfsError, UnsupportedError } from '#src/errors/errors.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const place: GroupPlace = { store: '/mnt/a\\xff::b', ns: ['prod', 'eu'], type: 'vm', id: '100' }

const name = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,20}$/)
const diskState: fc.Arbitrary<DiskState> = fc.record({
  snapshot: fc.constantFrom('2026-01-01T00:00:00Z', '1999-12-31T23:59:59Z'),
  csum: fc.stringMatching(/^[0-9a-f]{64}$/),
  size: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
})
const states: fc.Arbitrary<AccessState> = fc.record({
  target: name,
  place: fc.constant(place),
  bases: fc.array(fc.tuple(name, fc.tuple(diskState, name, fc.array(diskState, { maxLength: 2 })).map(([own, bitmap, tried]) => ({ ...own, bitmap, tried })))).map((entries) => new Map(entries)),
  active: fc.option(
    fc.record({
      id: fc.stringMatching(/^[0-9a-f]{16}$/),
      snapshot: fc.constant('2026-01-01T00:00:00Z'),
      since: fc.nat(),
      disks: fc.array(fc.tuple(diskState, name, fc.option(name, { nil: undefined })).map(([own, archive, bitmap]) => ({ ...own, archive, bitmap, action: 'used' as const }))),
    }),
    { nil: undefined },
  ),
})

it('what is written is what is read', () => {
  fc.assert(fc.property(states, (state) => void expect(parseState(encodeState(state), 'state')).toEqual(state)))
})

it('anything else is a named error', () => {
  fc.assert(
    fc.property(states, fc.nat(), fc.nat(255), fc.boolean(), (state, at, byte, cut) => {
      const bytes = encodeState(state)
      const damaged = cut ? bytes.subarray(0, at % bytes.length) : Buffer.from(bytes).fill(byte, at % bytes.length, (at % bytes.length) + 1)
      try {
        parseState(damaged, 'state')
      } catch (error) {
        expect(isPbsfsError(error)).toBe(true)
      }
    }),
  )
  const valid = JSON.parse(encodeState(emptyState('tape', place)).toString()) as Record<string, unknown>
  for (const change of [{ version: '1' }, { target: '../x' }, { store: 'relative' }, { ns: 'prod' }, { type: 'lxc' }, { id: '' }, { bases: [] }, { bases: { '../x': {} } }, { active: [] }, { active: 1 }]) {
    expect(() => parseState(Buffer.from(JSON.stringify({ ...valid, ...change })), 'state')).toThrow(FormatError)
  }
  expect(() => parseState(Buffer.from(JSON.stringify({ ...valid, version: 2 })), 'state')).toThrow(UnsupportedError)
})

it('a file that is damaged or out of place is told, and changed by nobody', async () => {
  const folder = temporaryFolder()
  const files = new StateFiles(folder)
  await files.update('tape', place, async (state) => [state, 0])
  await files.update('disk', place, async (state) => [state, 0])
  const [file] = readdirSync(join(folder, 'access/tape')).filter((entry) => entry.endsWith('.json'))
  expect(files.list()).toMatchObject({ states: [{ target: 'disk' }, { target: 'tape' }], problems: [] })
  renameSync(join(folder, 'access/disk', file!), join(folder, 'access/tape', file!))
  const { states: left, problems } = files.list()
  expect([left, problems.map(({ message }) => message)]).toEqual([[], [expect.stringContaining('another target or group')]])
  writeFileSync(join(folder, 'access/tape', file!), '{')
  await expect(files.update('tape', place, async (state) => [state, 0])).rejects.toMatchObject({ fields: { remedy: expect.stringContaining('Remove ') as string } })
  mkdirSync(join(folder, 'access/tape/x.json'))
  expect(files.list().problems).toHaveLength(2)
})

it('the folder: given, of root, of a user', () => {
  const user = { uid: 1000, xdgStateHome: undefined, home: '/home/u' }
  expect(stateFolder('/x', user)).toBe('/x')
  expect(stateFolder(undefined, { ...user, uid: 0, xdgStateHome: '/y' })).toBe('/var/lib/pbsfs')
  expect(stateFolder(undefined, { ...user, xdgStateHome: '/y' })).toBe('/y/pbsfs')
  expect(stateFolder(undefined, user)).toBe('/home/u/.local/state/pbsfs')
  expect(stateFolder(undefined, { ...user, xdgStateHome: 'relative' })).toBe('/home/u/.local/state/pbsfs')
})
