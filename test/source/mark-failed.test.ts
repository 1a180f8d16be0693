import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { decodeBlobFile } from '#src/blob/decode.js'
import { BusyError } from '#src/errors/errors.js'
import { lockFileParts, lockSubject } from '#src/source/lock-names.js'
import { markSnapshotFailed } from '#src/source/mark-failed.js'
import { DatastoreWriter } from '../support/datastore-writer.js'
import { LockServer } from '../support/lock-server.js'
import { describeWith } from '../support/needs.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const T = '2026-01-01T00:00:00Z'
const snapshot = { group: { ns: ['prod'], type: 'host', id: 'web' }, time: T } as const
const root = temporaryFolder()
let count = 0

/** With a number that no double holds, and text that must not change. */
const JSON_TEXT = `{"backup-id":"web","backup-time":1767225600,"backup-type":"host","big":18446744073709551615,"files":[],
  "signature":"00ff","unprotected":{"notes":"a\\u00e9\\n","verify_state":{"state":"ok","upid":"UPID:x"},"more":[1.50,{}]}}`

describeWith({ programs: { python3: 'python3' } }, 'marking a snapshot', () => {
  let store: string
  let manifest: string
  let server: LockServer

  beforeEach(() => {
    const base = join(root, String(count++))
    store = join(base, 'store')
    const writer = new DatastoreWriter(store)
    writer.snapshot({ ns: ['prod'], type: 'host', id: 'web' }, T).finish({ manifest: Buffer.from(JSON_TEXT) })
    manifest = join(store, 'ns/prod/host/web', T, 'index.json.blob')
    server = new LockServer(base, { main: store })
  })
  afterEach(() => server.close())

  const read = (): string => Buffer.from(decodeBlobFile(readFileSync(manifest), 'manifest', 1 << 20)).toString()
  const lock = (): string => server.lockFile('main', ...lockFileParts(snapshot.group.ns, `${lockSubject(snapshot)}/.index.json.lck`))

  it('changes the verify state and nothing else, down to the text of numbers', async () => {
    const before = statSync(manifest)
    await markSnapshotFailed(store, snapshot, { store: 'main', runtimeDir: server.runtimeDir })
    const text = read()
    expect(text).toContain('18446744073709551615')
    expect(text).toContain('1.50')
    const { unprotected, ...rest } = JSON.parse(text) as Record<string, unknown>
    const { unprotected: old, ...restBefore } = JSON.parse(JSON_TEXT) as Record<string, Record<string, unknown>>
    expect(rest).toEqual(restBefore)
    expect(unprotected).toMatchObject({ ...old, verify_state: { state: 'failed' } })
    const after = statSync(manifest)
    expect([after.mode, after.uid, after.gid]).toEqual([before.mode, before.uid, before.gid])
    expect(readdirSync(join(manifest, '..'))).toEqual(['index.json.blob'])
    expect(await server.isFree(lock())).toBe(true)
  })

  it('waits for the server to be done with the manifest, and gives up when it is not', async () => {
    await markSnapshotFailed(store, snapshot, { store: 'main', runtimeDir: server.runtimeDir })
    const before = readFileSync(manifest)
    expect(await server.hold(lock())).toBe('held')
    await expect(markSnapshotFailed(store, snapshot, { store: 'main', runtimeDir: server.runtimeDir })).rejects.toThrow(BusyError)
    expect(readFileSync(manifest).equals(before)).toBe(true)
    const marking = markSnapshotFailed(store, snapshot, { store: 'main', runtimeDir: server.runtimeDir })
    await server.release()
    await marking
  })

  it('a manifest that is gone, or is no manifest, is an error and stays as it is', async () => {
    const gone = { ...snapshot, time: '2026-02-01T00:00:00Z' }
    await expect(markSnapshotFailed(store, gone, undefined)).rejects.toThrow()
    const writer = new DatastoreWriter(store)
    writer.snapshot({ ns: ['prod'], type: 'host', id: 'web' }, T).finish({ manifest: Buffer.from('[]') })
    const before = readFileSync(manifest)
    await expect(markSnapshotFailed(store, snapshot, undefined)).rejects.toThrow('not a JSON object')
    expect(readFileSync(manifest).equals(before)).toBe(true)
  })
})
