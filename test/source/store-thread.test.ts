import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { AbortedError, FormatError, SourceError } from '#src/errors/errors.js'
import type { Datastore, GroupRef } from '#src/source/datastore.js'
import { openLocalDatastore } from '#src/source/local-datastore.js'
import { openStoreThread, type Stall } from '#src/source/store-thread.js'
import { DatastoreWriter } from '../support/datastore-writer.js'

const web: GroupRef = { ns: ['prod'], type: 'host', id: 'web' }
const T = '2026-01-02T00:00:00Z'
let dir: string
let path: string

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'pbsfs-thread-'))
  path = join(dir, 'store')
  const writer = new DatastoreWriter(path)
  writer.addGroup(web, 'root@pam', 'notes')
  const snapshot = writer.snapshot(web, T)
  snapshot.addImage('a.img.fidx', Buffer.alloc(200_000, 'x'))
  snapshot.addBlob('a.conf.blob', Buffer.from('conf'))
  snapshot.finish({ protected: true })
})
afterAll(() => rmSync(dir, { recursive: true }))

it('answers exactly as the store itself', async () => {
  const thread = await openStoreThread({ kind: 'local', path: Buffer.from(path) })
  const local = openLocalDatastore(path)
  const ref = { group: web, time: T }
  const ask = async (store: Datastore): Promise<unknown[]> => [
    await store.describe(),
    await store.listNamespaces([]),
    await store.listGroups(['prod']),
    await store.listSnapshots(web),
    Buffer.from((await store.groupInfo(web)).notes!),
    await store.snapshotInfo(ref),
    { ...(await store.readManifest(ref)), json: undefined },
    Buffer.from((await store.readManifest(ref)).json),
    await store.listFiles(ref),
    await store.listFiles(ref, { files: [] }),
    Buffer.from(await store.readFile(ref, 'a.img.fidx', 10_000)),
  ]
  expect(await ask(thread)).toEqual(await ask(local))
  await thread.close()
})

it('carries errors over with their class and fields', async () => {
  const thread = await openStoreThread({ kind: 'local', path })
  await expect(thread.listSnapshots({ ...web, id: 'none' })).rejects.toMatchObject({ tag: 'source', fields: { code: 'ENOENT' } })
  await expect(thread.listSnapshots({ ...web, id: '../..' })).rejects.toBeInstanceOf(FormatError)
  await expect(thread.readFile({ group: web, time: T }, 'a.conf.blob', 3)).rejects.toBeInstanceOf(FormatError)
  await thread.close()
  await expect(openStoreThread({ kind: 'local', path: dir })).rejects.toBeInstanceOf(SourceError)
})

it('close is final, and rejects what is under way', async () => {
  const thread = await openStoreThread({ kind: 'local', path })
  const running = Array.from({ length: 20 }, () => thread.listSnapshots(web).catch((error: unknown) => error))
  await Promise.all([thread.close(), thread.close()])
  for (const outcome of await Promise.all(running)) {
    if (outcome instanceof Error) expect(outcome).toBeInstanceOf(AbortedError)
  }
  await expect(thread.listGroups([])).rejects.toBeInstanceOf(AbortedError)
})

it('reports a call that takes too long, once, and its end', async () => {
  const stalls: Stall[] = []
  // Starting the thread alone takes longer than this.
  const thread = await openStoreThread({ kind: 'local', path }, { stallMs: 1, onStall: (stall) => stalls.push(stall) })
  expect(stalls).toEqual([
    { operation: 'open', path, seconds: 0, recovered: false },
    { operation: 'open', path, seconds: 0, recovered: true },
  ])
  await thread.close()
  const quiet = await openStoreThread({ kind: 'local', path }, { stallMs: 30_000, onStall: (stall) => stalls.push(stall) })
  await quiet.listGroups([])
  await quiet.close()
  expect(stalls).toHaveLength(2)
})

it('keeps the process alive for its answers and no longer', () => {
  const url = (name: string): string => JSON.stringify(new URL(`../../dist/source/${name}`, import.meta.url).href)
  const script = `
    import { openStoreThread } from ${url('store-thread.js')}
    const thread = await openStoreThread({ kind: 'local', path: ${JSON.stringify(path)} }, { onStall: () => {} })
    console.log((await thread.listGroups(['prod'])).entries.length)`
  const file = join(dir, 'script.mjs')
  writeFileSync(file, script)
  // Without close: an idle thread must not hold the process, a pending answer must.
  expect(execFileSync(process.execPath, [file], { encoding: 'utf8', timeout: 20_000 }).trim()).toBe('1')
})
