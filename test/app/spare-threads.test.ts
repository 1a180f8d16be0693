import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterEach, expect, test, vi } from 'vitest'
import { SpareThreads } from '#src/app/spare-threads.js'
import { openStoreThread } from '#src/source/store-thread.js'
import { DatastoreWriter } from '../support/datastore-writer.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const folder = temporaryFolder()

afterEach(() => {
  vi.restoreAllMocks()
})

test('a spare thread is handed out once and does what one started for it does', async () => {
  const spares = new SpareThreads()
  const worker = spares.takeStore()
  expect(worker).toBeDefined()
  expect(spares.takeStore()).toBeUndefined()
  const { path } = new DatastoreWriter(join(folder, 'store'))
  const thread = await openStoreThread({ kind: 'local', path }, { worker })
  expect((await thread.listGroups([])).entries).toEqual([])
  await thread.close()
  spares.end()
})

test('one that has ended is not handed out, nor one after the end', async () => {
  const unref = vi.spyOn(Worker.prototype, 'unref')
  const spares = new SpareThreads()
  const [store] = unref.mock.contexts as Worker[]
  await store!.terminate()
  expect(spares.takeStore()).toBeUndefined()
  spares.end()
  expect(spares.takeDecoder()).toBeUndefined()
})
