import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterEach, expect, test, vi } from 'vitest'
import { DatastoreWriter } from '../support/datastore-writer.js'
import { OpenedTree } from '../support/opened-tree.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const TIME = '2026-01-02T00:00:00Z'
let tree: OpenedTree | undefined
afterEach(async () => {
  vi.restoreAllMocks()
  await tree?.close()
})

test('attributes that nothing of ours has are refused without a look at the store', async () => {
  const store = new DatastoreWriter(join(temporaryFolder(), 'store'))
  store.snapshot({ type: 'host', id: 'a' }, TIME).finish()
  tree = await OpenedTree.open(store.path)
  const places = ['host', 'host/a', `host/a/${TIME}`]
  const nodes = await Promise.all(places.map((place) => tree!.entry(place)))
  const asked = vi.spyOn(Worker.prototype, 'postMessage')
  for (const { idHi, idLo } of nodes) {
    for (const name of ['security.selinux', 'system.posix_acl_access', 'security.capability', 'user.other']) {
      expect(tree.tree.getxattr({ hi: idHi, lo: idLo }, Buffer.from(name))).toBeUndefined()
    }
  }
  expect(asked).not.toHaveBeenCalled()
  expect(await tree.xattr(`host/a/${TIME}`, 'user.pbs.protected')).toBe('0')
  expect(asked).toHaveBeenCalled()
})
