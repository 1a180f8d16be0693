import { beforeEach, describe, expect, it } from 'vitest'
import { accessRanges, setupAccess, teardownAccess, type Access } from '#src/access/access.js'
import type { AccessState, GroupPlace } from '#src/access/access-state.js'
import { StateFiles } from '#src/access/state-files.js'
import { BusyError, IntegrityError, KeyError, SourceError, UsageError } from '#src/errors/errors.js'
import { MEMORY_CHUNK as CHUNK, MemoryGroup } from '../support/memory-group.js'
import { MemorySteps } from '../support/memory-steps.js'

const place: GroupPlace = { store: '/store', ns: ['prod'], type: 'vm', id: '100' }
const other: GroupPlace = { ...place, id: '101' }
const [FIRST, SECOND, THIRD] = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', '2026-01-03T00:00:00Z'] as const
const DISK = 'drive-scsi0.img'
const disk = Buffer.alloc(4 * CHUNK, 7)
const changed = Buffer.from(disk).fill(1, CHUNK, 2 * CHUNK)

let group: MemoryGroup
let files: StateFiles

beforeEach(() => {
  group = new MemoryGroup()
  files = new StateFiles('/state', new MemorySteps())
  group.add(FIRST, { [DISK]: disk })
  group.add(SECOND, { [DISK]: changed })
})

const setup = (snapshot: string, bitmap: string | undefined = 'a', where = place): Promise<Access> => setupAccess(files, group, { target: 'tape', place: where, snapshot, bitmap })
const end = (success: boolean, id?: string, where = place) => teardownAccess(files, { target: 'tape', place: where, success, id })
const state = (): AccessState => files.list().states[0]!

/** Action and bytes to read of the one disk. */
async function look(snapshot: string, bitmap?: string, success = true): Promise<[string, number]> {
  const { disks } = await setupAccess(files, group, { target: 'tape', place, snapshot, bitmap })
  await end(success)
  return [disks[0]!.action, disks[0]!.dirty]
}

describe('what becomes of the bitmap', () => {
  it('new, then used; a failed run loses nothing', async () => {
    expect(await look(FIRST, 'a')).toEqual(['new', 4 * CHUNK])
    expect(await look(SECOND, 'a', false)).toEqual(['used', CHUNK])
    expect(await look(SECOND, 'a')).toEqual(['used', CHUNK])
    expect(await look(SECOND, 'a')).toEqual(['used', 0])
    expect(await look(FIRST, 'a')).toEqual(['used', CHUNK])
  })

  it('a first run that failed leaves nothing behind', async () => {
    expect(await look(FIRST, 'a', false)).toEqual(['new', 4 * CHUNK])
    expect(await look(SECOND, 'a')).toEqual(['new', 4 * CHUNK])
  })

  it('another name drops the old one, also when the run fails', async () => {
    await look(FIRST, 'a')
    const { disks } = await setup(SECOND, 'b')
    expect(disks[0]).toMatchObject({ action: 'new', dirty: 4 * CHUNK, bitmap: 'b', reason: 'bitmap a was dropped' })
    await end(false)
    expect(await look(SECOND, 'a')).toEqual(['new', 4 * CHUNK])
  })

  it('none: everything is to be read, and what there was is gone', async () => {
    expect(await look(FIRST)).toEqual(['not-used', 4 * CHUNK])
    await look(FIRST, 'a')
    expect(await look(SECOND)).toEqual(['not-used-removed', 4 * CHUNK])
    expect(await look(SECOND)).toEqual(['not-used', 4 * CHUNK])
    expect(await look(SECOND, 'a')).toEqual(['new', 4 * CHUNK])
  })

  it.each([
    ['pruned', () => void group.snapshots.delete(FIRST), /is gone/],
    ['replaced under the same name', () => group.add(FIRST, { [DISK]: Buffer.from(disk).fill(3, 0, 1) }), /replaced/],
    ['encrypted from now on', () => group.add(SECOND, { [DISK]: { bytes: changed, domain: 'aa'.repeat(32) } }), /encrypted with key/],
    ['cut into other chunks', () => group.add(SECOND, { [DISK]: { bytes: changed, domain: 'plain', chunkSize: 32 } }), /32/],
    ['damaged', () => void (group.failure = new IntegrityError('index checksum is wrong')), /index checksum/],
    ['of a key that is not there', () => void (group.failure = new KeyError('needs key 12')), /needs key/],
  ])('what it held is %s: invalid, and everything is to be read', async (_what, happen, reason) => {
    await look(FIRST, 'a')
    happen()
    const { disks } = await setup(SECOND)
    expect(disks[0]).toMatchObject({ action: 'invalid', dirty: 4 * CHUNK })
    expect(disks[0]!.reason).toMatch(reason)
    group.failure = undefined
    await end(true)
    expect(await look(SECOND, 'a')).toEqual(['used', 0])
  })

  it('a snapshot that a failed run read is gone: what the copy holds is not known', async () => {
    await look(FIRST, 'a')
    await look(SECOND, 'a', false)
    group.add(THIRD, { [DISK]: disk })
    group.snapshots.delete(SECOND)
    expect((await setup(THIRD)).disks[0]).toMatchObject({ action: 'invalid', reason: expect.stringContaining('failed') as string })
  })

  it('a storage that does not answer is no reason to forget: the setup fails, and nothing is written', async () => {
    await look(FIRST, 'a')
    group.failure = new SourceError('timed out', { code: 'ETIMEDOUT' })
    await expect(setup(SECOND)).rejects.toThrow('timed out')
    group.failure = undefined
    expect(await look(SECOND, 'a')).toEqual(['used', CHUNK])
  })

  it('disks that grow, shrink, come and go', async () => {
    await look(FIRST, 'a')
    group.add(SECOND, { [DISK]: Buffer.concat([disk, Buffer.alloc(CHUNK + 3)]), 'drive-scsi1.img': disk })
    expect((await setup(SECOND)).disks.map(({ exportName, action, dirty }) => [exportName, action, dirty])).toEqual([
      ['drive-scsi0', 'used', CHUNK + 3],
      ['drive-scsi1', 'new', 4 * CHUNK],
    ])
    await end(true)
    group.add(THIRD, { [DISK]: disk.subarray(0, CHUNK + 3) })
    expect((await setup(THIRD)).disks.map(({ exportName, action, dirty }) => [exportName, action, dirty])).toEqual([['drive-scsi0', 'used', 3]])
    await end(true)
    expect([...state().bases.keys()]).toEqual([DISK])
  })
})

describe('one access at a time', () => {
  it('a second setup is refused and told how to go on; other groups are free', async () => {
    const { id } = await setup(FIRST)
    const refused = await setup(SECOND).catch((error: unknown) => error as BusyError)
    expect(refused).toBeInstanceOf(BusyError)
    expect((refused as BusyError).fields['remedy']).toContain(`pbsfs access teardown tape --failure --id ${id}`)
    await setup(FIRST, 'a', other)
    await end(true, undefined, other)
    expect(state().active?.id).toBe(id)
  })

  it('a teardown of an access that another one has replaced changes nothing', async () => {
    const { id } = await setup(FIRST)
    await end(false, id)
    await setup(SECOND)
    await expect(end(true, id)).rejects.toThrow(BusyError)
    expect(state().bases.size).toBe(0)
    await end(true)
    await expect(end(true)).rejects.toThrow(UsageError)
  })

  it('names that could not be kept are refused', async () => {
    for (const bitmap of ['', 'a b', '../x', '.', '-x', 'x'.repeat(129)]) await expect(setup(FIRST, bitmap)).rejects.toThrow(UsageError)
    for (const target of ['', '..', 'a/b', 'a\n']) await expect(setupAccess(files, group, { target, place, snapshot: FIRST, bitmap: 'a' })).rejects.toThrow(UsageError)
    group.add(THIRD, {})
    await expect(setup(THIRD)).rejects.toThrow(/no disk images/)
    expect(files.list()).toEqual({ states: [], problems: [] })
  })
})

describe('ranges of a disk', () => {
  it('by either name; none of it without an access', async () => {
    await look(FIRST, 'a')
    await expect(accessRanges(group, state(), DISK)).rejects.toThrow(UsageError)
    await setup('latest')
    for (const name of [DISK, 'drive-scsi0']) {
      const { ranges, action } = await accessRanges(group, state(), name)
      expect([action, ...ranges]).toEqual(['used', { offset: CHUNK, length: CHUNK }])
    }
    await expect(accessRanges(group, state(), 'drive-scsi1')).rejects.toThrow(/there are: drive-scsi0/)
  })

  it('the base was pruned since the setup: everything', async () => {
    await look(FIRST, 'a')
    await setup(SECOND)
    group.snapshots.delete(FIRST)
    const { ranges, action, reason } = await accessRanges(group, state(), DISK)
    expect([action, ...ranges]).toEqual(['invalid', { offset: 0, length: 4 * CHUNK }])
    expect(reason).toMatch(/gone/)
  })

  it('the snapshot itself is another one, or gone: an error', async () => {
    await setup(SECOND)
    group.add(SECOND, { [DISK]: disk })
    await expect(accessRanges(group, state(), DISK)).rejects.toThrow(IntegrityError)
    group.snapshots.delete(SECOND)
    await expect(accessRanges(group, state(), DISK)).rejects.toThrow(SourceError)
  })
})
