import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readStoreFacts } from '#src/doctor/store-facts.js'
import { resolveSource, type StoreSource } from '#src/source/resolve-source.js'
import { parseSource } from '#src/source/source-string.js'
import { openStoreThread, type StoreThread } from '#src/source/store-thread.js'
import { exampleStore } from '../support/golden.js'
import { LockServer } from '../support/lock-server.js'
import { describeWith } from '../support/needs.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const folder = temporaryFolder()
const path = join(folder, 'store')

describeWith({ programs: { python3: 'python3' } }, 'a store and its server', () => {
  let server: LockServer
  let store: StoreThread

  beforeAll(async () => {
    cpSync(exampleStore, path, { recursive: true })
    server = new LockServer(folder, { main: path })
    store = await openStoreThread({ kind: 'local', path })
  })
  afterAll(async () => {
    server.close()
    await store.close()
  })

  const look = async (selector = '', fingerprints = new Set<string>(), configDir = server.configDir) => {
    const source = (await resolveSource(parseSource(Buffer.from(`${path}${selector}`)), { configDir })) as StoreSource
    return readStoreFacts({ source, store, runtimeDir: server.runtimeDir, fingerprints })
  }
  const lockFile = () => server.lockFile('main', 'vm-100-2026\\x2d01\\x2d06T00\\x3a00\\x3a00Z')

  test('what is in it, who has it, and that its newest snapshot can be locked and is free again', async () => {
    const facts = await look('::vm')
    expect(facts).toMatchObject({ path, snapshots: 2, unreadable: [], configuredAs: 'main', lock: { snapshot: 'vm/100/2026-01-06T00:00:00Z', problems: [] } })
    expect(await server.isFree(lockFile())).toBe(true)
  })

  test('a snapshot that the server has', async () => {
    expect(await server.hold(lockFile())).toBe('held')
    expect((await look('::vm')).lock).toEqual({ busy: expect.stringContaining('in use by the server') as string })
    await server.release()
  })

  test('a key that snapshots need, here and not here', async () => {
    const [key] = (await look()).keys
    expect(key).toMatchObject({ snapshots: 1, isHere: false })
    expect((await look('', new Set([key!.fingerprint.replaceAll(':', '')]))).keys[0]).toMatchObject({ isHere: true })
  })

  test('no server has it', async () => {
    const empty = join(folder, 'empty')
    mkdirSync(empty, { recursive: true })
    expect(await look('', new Set(), empty)).toMatchObject({ configuredAs: undefined, lock: undefined })
  })

  test('a manifest that cannot be read', async () => {
    writeFileSync(join(path, 'vm/100/2026-01-06T00:00:00Z/index.json.blob'), 'nonsense')
    expect((await look('::vm')).unreadable).toEqual([expect.stringContaining('vm/100/2026-01-06T00:00:00Z: ')])
  })
})
