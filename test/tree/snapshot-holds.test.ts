import { expect, it } from 'vitest'
import { BusyError, NodeError, SourceError } from '#src/errors/errors.js'
import type { LockProblem, SnapshotLock, SnapshotManifest, SnapshotRef } from '#src/source/datastore.js'
import { identityOf } from '#src/tree/archive-versions.js'
import { SnapshotHolds, type LockingStore } from '#src/tree/snapshot-holds.js'

const T = '2026-01-02T00:00:00Z'
const web: SnapshotRef = { group: { ns: ['prod'], type: 'host', id: 'web' }, time: T }
const db: SnapshotRef = { group: { ns: [], type: 'host', id: 'db' }, time: T }
const PLACE = `ns/prod/host/web/${T}`
const IDLE = 30_000

/** A store whose snapshots can be busy, gone or changed, and which knows what is locked. */
class FakeStore implements LockingStore {
  readonly locked = new Map<number, string>()
  problems: LockProblem[] = []
  state: 'there' | 'gone' | 'busy' = 'there'
  stamp = 'first'
  /** Checksum of the one archive. */
  csum = 'aa'
  taken = 0
  manifestsRead = 0

  async lockSnapshot({ group }: SnapshotRef): Promise<SnapshotLock | undefined> {
    await Promise.resolve()
    if (this.state === 'busy') throw new BusyError('in use')
    if (this.state === 'gone') return undefined
    this.locked.set(++this.taken, group.id)
    return { id: this.taken, problems: this.problems, stamp: { identity: this.stamp, mtimeMs: 0, size: 0 } }
  }

  async unlockSnapshot({ group }: SnapshotRef, id: number): Promise<void> {
    expect(this.locked.get(id)).toBe(group.id)
    this.locked.delete(id)
  }

  async readManifest(): Promise<SnapshotManifest> {
    this.manifestsRead++
    const files = [{ filename: 'root.pxar.didx', size: 1, csum: this.csum, cryptMode: 'none' as const }]
    return { manifest: { files } } as unknown as SnapshotManifest
  }
}

function setUp(settings: { required?: boolean; lasting?: boolean } = {}) {
  const store = new FakeStore()
  const clock = { now: 1_000_000 }
  const warnings: string[] = []
  const holds = new SnapshotHolds(store, {
    server: { store: 'main', runtimeDir: '/nowhere' },
    required: settings.required ?? false,
    releaseAfterMs: settings.lasting === true ? Infinity : IDLE,
    now: () => clock.now,
    warn: (message) => warnings.push(message),
  })
  /** Time goes by, and it is looked what can be given up. */
  const pass = (ms: number): void => {
    clock.now += ms
    holds.sweep()
  }
  return { store, holds, pass, warnings, names: () => [...store.locked.values()] }
}

const ROOT = identityOf('root.pxar', 'aa')
const answer = () => 'answer'

it('takes a lock on first entry, once, and answers at once from then on', async () => {
  const { holds, names, store } = setUp()
  const hold = holds.of(web)
  expect(holds.of({ ...web })).toBe(hold)
  expect(names()).toEqual([])
  const first = [hold.run(ROOT, answer), hold.run(ROOT, answer)]
  expect(first.every((result) => result instanceof Promise)).toBe(true)
  expect([await first[0], await first[1]]).toEqual(['answer', 'answer'])
  expect(store.taken).toBe(1)
  expect(hold.run(ROOT, answer)).toBe('answer')
  expect(names()).toEqual(['web'])
  holds.close()
})

it('gives it up 30 s after the last request, each snapshot for itself', async () => {
  const { holds, names, pass } = setUp()
  await holds.of(web).run(undefined, answer)
  pass(IDLE / 2)
  await holds.of(db).run(undefined, answer)
  pass(IDLE / 2 - 1)
  expect(names()).toEqual(['web', 'db'])
  pass(1)
  expect(names()).toEqual(['db'])
  expect(holds.of(db).run(undefined, answer)).toBe('answer')
  pass(IDLE - 1)
  expect(names()).toEqual(['db'])
  pass(1)
  expect(names()).toEqual([])
  holds.close()
})

it('a file that is open keeps it, however long nothing is asked', async () => {
  const { holds, names, pass } = setUp()
  const hold = holds.of(web)
  await hold.run(ROOT, () => hold.noteOpen())
  hold.noteOpen()
  pass(100 * IDLE)
  expect(holds.held()).toEqual([{ snapshot: PLACE, openFiles: 2, idleSeconds: 0, complete: true }])
  hold.noteClosed()
  pass(100 * IDLE)
  expect(names()).toEqual(['web'])
  hold.noteClosed()
  pass(IDLE - 1)
  expect(holds.held()).toEqual([{ snapshot: PLACE, openFiles: 0, idleSeconds: 30, complete: true }])
  pass(1)
  expect(holds.held()).toEqual([])
  holds.close()
})

it('a request that takes long keeps it, also one that fails', async () => {
  const { holds, names, pass } = setUp()
  const hold = holds.of(web)
  let fail!: (error: Error) => void
  const slow = hold.run(ROOT, () => new Promise<string>((_, reject) => (fail = reject)))
  await hold.run(ROOT, answer)
  pass(5 * IDLE)
  expect(names()).toEqual(['web'])
  fail(new Error('broken'))
  await expect(slow).rejects.toThrow('broken')
  pass(IDLE - 1)
  expect(names()).toEqual(['web'])
  pass(1)
  expect(names()).toEqual([])
  holds.close()
})

it('lasting holds are never given up', async () => {
  const { holds, names, pass } = setUp({ lasting: true })
  expect(holds.lasting).toBe(true)
  await holds.of(web).enter()
  pass(1000 * IDLE)
  expect(names()).toEqual(['web'])
  expect(holds.of(web).run(ROOT, answer)).toBe('answer')
})

it('an unchanged manifest is not read again when it is entered again', async () => {
  const { holds, names, pass, store } = setUp()
  await holds.of(web).run(ROOT, answer)
  pass(IDLE)
  expect(await holds.of(web).run(ROOT, answer)).toBe('answer')
  expect(names()).toEqual(['web'])
  expect(store.manifestsRead).toBe(0)
  holds.close()
})

it('what was replaced meanwhile is stale, what was only annotated is not', async () => {
  const { holds, pass, store } = setUp()
  const hold = holds.of(web)
  await hold.run(ROOT, answer)
  pass(IDLE)
  store.stamp = 'with notes'
  expect(await hold.run(ROOT, answer)).toBe('answer')
  pass(IDLE)
  Object.assign(store, { stamp: 'another', csum: 'bb' })
  await expect(hold.run(ROOT, answer)).rejects.toMatchObject({ errno: 'ESTALE' })
  expect(() => hold.run(ROOT, answer)).toThrow(NodeError)
  // The folder itself and what is found in it now are well.
  expect(hold.run(undefined, answer)).toBe('answer')
  expect(hold.run(identityOf('root.pxar', 'bb'), answer)).toBe('answer')
  holds.close()
})

it('what is gone is stale and said once; when it is back it is entered again', async () => {
  const { holds, pass, store, warnings } = setUp()
  const hold = holds.of(web)
  await hold.run(ROOT, answer)
  pass(IDLE)
  store.state = 'gone'
  await expect(hold.run(ROOT, answer)).rejects.toMatchObject({ errno: 'ESTALE' })
  await expect(hold.run(undefined, answer)).rejects.toMatchObject({ errno: 'ESTALE' })
  expect(warnings).toEqual([expect.stringMatching(/web.*is gone/)])
  store.state = 'there'
  expect(await hold.run(ROOT, answer)).toBe('answer')
  holds.close()
})

it('a writer is an error, and nothing is kept of the attempt', async () => {
  const { holds, names, store } = setUp()
  store.state = 'busy'
  await expect(holds.of(web).run(ROOT, answer)).rejects.toThrow(BusyError)
  expect(holds.held()).toEqual([])
  store.state = 'there'
  expect(await holds.of(web).run(ROOT, answer)).toBe('answer')
  expect(names()).toEqual(['web'])
  holds.close()
})

it('a manifest that cannot be read gives the lock back', async () => {
  const { holds, names, pass, store } = setUp()
  await holds.of(web).run(ROOT, answer)
  pass(IDLE)
  store.stamp = 'other'
  store.readManifest = () => Promise.reject(new SourceError('disk'))
  await expect(holds.of(web).run(ROOT, answer)).rejects.toThrow('disk')
  expect(names()).toEqual([])
  holds.close()
})

it('half a lock: a warning, once for all snapshots; refused when the whole is required', async () => {
  const problem: LockProblem = { kind: 'file', code: 'EACCES', message: 'may not be made' }
  const { holds, warnings, store } = setUp()
  store.problems = [problem]
  await holds.of(web).enter()
  await holds.of(db).enter()
  expect(warnings).toEqual([expect.stringContaining('may not be made')])
  expect(holds.held().map(({ complete }) => complete)).toEqual([false, false])
  holds.close()
  const strict = setUp({ required: true })
  strict.store.problems = [problem]
  await expect(strict.holds.of(web).enter()).rejects.toMatchObject({ tag: 'source', fields: { code: 'EACCES', operation: 'lock' } })
  expect(strict.names()).toEqual([])
})
