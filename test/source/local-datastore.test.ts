import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FormatError, isPbsfsError, SourceError } from '#src/errors/errors.js'
import type { GroupRef, Namespace } from '#src/source/datastore.js'
import { openLocalDatastore, type LocalDatastore } from '#src/source/local-datastore.js'
import { parseIndex, compareWithManifest } from '#src/index/parse-index.js'
import { archivesOf } from '#src/source/archives.js'
import { goldenDir } from '../support/golden.js'
import { DatastoreWriter, encodeBlob } from '../support/datastore-writer.js'

const golden = goldenDir()
const web: GroupRef = { ns: [], type: 'host', id: 'web' }
const T1 = '2026-01-02T00:00:00Z'
const T2 = '2026-01-03T00:00:00Z'

let dir: string
let writer: DatastoreWriter
let store: LocalDatastore

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'pbsfs-store-'))
  writer = new DatastoreWriter(join(dir, 'store'))
  store = openLocalDatastore(writer.path)
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

async function errorOf(action: () => unknown): Promise<Error & { fields: Record<string, unknown> }> {
  try {
    await action()
  } catch (error) {
    if (!isPbsfsError(error)) throw error
    return error
  }
  throw new Error('nothing was thrown')
}

describe('opening', () => {
  it('names what is wrong', async () => {
    const missing = await errorOf(() => openLocalDatastore(join(dir, 'nowhere')))
    expect(missing).toBeInstanceOf(SourceError)
    expect(missing.fields).toMatchObject({ code: 'ENOENT', path: join(dir, 'nowhere') })
    mkdirSync(join(dir, 'empty'))
    expect((await errorOf(() => openLocalDatastore(join(dir, 'empty')))).message).toContain('.chunks')
    writeFileSync(join(dir, 'file'), '')
    expect((await errorOf(() => openLocalDatastore(join(dir, 'file')))).fields).toMatchObject({ code: 'ENOTDIR' })
    writeFileSync(join(dir, 'empty/.chunks'), '')
    expect((await errorOf(() => openLocalDatastore(join(dir, 'empty')))).fields).toMatchObject({ code: 'ENOTDIR' })
    mkdirSync(join(dir, 'linked'))
    symlinkSync(join(writer.path, '.chunks'), join(dir, 'linked/.chunks'))
    expect((await errorOf(() => openLocalDatastore(join(dir, 'linked')))).fields).toMatchObject({ code: 'ELOOP' })
  })

  it('takes a link to the store, and a path that is not UTF-8', async () => {
    writer.snapshot(web, T1).finish()
    symlinkSync(writer.path, join(dir, 'link'))
    expect((await openLocalDatastore(join(dir, 'link')).listGroups([])).entries).toEqual([web])
    const odd = Buffer.concat([Buffer.from(dir), Buffer.from('/\xff\xfe', 'latin1')])
    symlinkSync(writer.path, odd)
    const other = openLocalDatastore(odd)
    expect((await other.listSnapshots(web)).entries.map((entry) => entry.time)).toEqual([T1])
    expect((await other.describe()).path).toContain('\\xff\\xfe')
    expect((await errorOf(() => other.groupInfo({ ...web, id: 'none' }))).fields['path']).toContain('\\xff\\xfe/host/none')
  })
})

describe('listing', () => {
  it('finds groups in order, at any depth', async () => {
    for (const [type, id] of [['vm', '100'], ['vm', '20'], ['ct', '7'], ['host', 'web'], ['host', '9'], ['vm', 'a']] as const) {
      writer.snapshot({ type, id }, T1).finish()
    }
    writer.snapshot({ ns: ['prod', 'eu'], type: 'host', id: 'x' }, T1).finish()
    expect((await store.listGroups([])).entries.map(({ type, id }) => `${type}/${id}`)).toEqual([
      'ct/7', 'host/9', 'host/web', 'vm/20', 'vm/100', 'vm/a',
    ]) // prettier-ignore
    expect((await store.listNamespaces([])).entries).toEqual(['prod'])
    expect((await store.listNamespaces(['prod'])).entries).toEqual(['eu'])
    expect((await store.listNamespaces(['prod', 'eu'])).entries).toEqual([])
    expect((await store.listGroups(['prod'])).entries).toEqual([])
    expect((await store.listGroups(['prod', 'eu'])).entries).toEqual([{ ns: ['prod', 'eu'], type: 'host', id: 'x' }])
  })

  it('lists finished snapshots, oldest first', async () => {
    writer.snapshot(web, T2).finish()
    writer.snapshot(web, T1).finish()
    writer.snapshot(web, '2026-01-04T00:00:00Z').finish({ unfinished: true })
    writer.write('host/web/2026-01-05T00:00:00Z/index.json.blob/x', '')
    writer.write('host/web/2026-13-05T00:00:00Z/index.json.blob', '')
    writer.write('host/web/backup.tmp/index.json.blob', '')
    writer.write('host/web/2026-01-06T00:00:00Z', 'a file')
    const { entries, skipped } = await store.listSnapshots(web)
    expect(entries.map(({ time, epoch }) => [time, epoch])).toEqual([
      [T1, 1767312000],
      [T2, 1767398400],
    ])
    expect(skipped).toEqual([
      { path: 'host/web/2026-01-06T00:00:00Z', reason: 'not a directory' },
      { path: 'host/web/2026-13-05T00:00:00Z', reason: 'not a time' },
    ])
  })

  it('keeps folder names that are not canonical', async () => {
    writer.snapshot(web, '2026-02-30T00:00:00Z').finish({ manifest: Buffer.from('{"backup-type":"host","backup-id":"web","backup-time":1,"files":[]}') })
    const [entry] = (await store.listSnapshots(web)).entries
    expect(entry).toMatchObject({ time: '2026-02-30T00:00:00Z', epoch: Date.UTC(2026, 2, 2) / 1000 })
    const { warnings } = await store.readManifest({ group: web, time: entry!.time })
    expect(warnings).toHaveLength(2)
  })

  it('is not empty when it is gone', async () => {
    expect(await store.listNamespaces([])).toEqual({ entries: [], skipped: [] })
    expect(await store.listGroups([])).toEqual({ entries: [], skipped: [] })
    // What is left where a disk was unmounted: its folder.
    rmSync(writer.path, { recursive: true })
    mkdirSync(writer.path)
    for (const action of [() => store.listNamespaces([]), () => store.listGroups([])]) {
      const error = await errorOf(action)
      expect(error.message).toContain('unmounted or moved?')
      expect(error.fields).toMatchObject({ operation: 'list', code: 'ENOENT' })
    }
  })

  it('leads nowhere out of the store', async () => {
    const outside = new DatastoreWriter(join(dir, 'outside'))
    const snapshot = outside.snapshot(web, T1)
    snapshot.addBlob('secret.conf.blob', Buffer.from('secret'))
    snapshot.finish()
    outside.snapshot({ ns: ['n'], type: 'vm', id: '1' }, T1).finish()
    mkdirSync(join(writer.path, 'host/linked'), { recursive: true })
    symlinkSync(join(outside.path, 'host/web'), join(writer.path, 'host/web'))
    symlinkSync(join(outside.path, 'host/web', T1), join(writer.path, 'host/linked', T1))
    symlinkSync(join(outside.path, 'ns'), join(writer.path, 'ns'))
    symlinkSync(join(outside.path, 'ns/n/vm'), join(writer.path, 'vm'))
    const groups = await store.listGroups([])
    expect(groups.entries).toEqual([{ ns: [], type: 'host', id: 'linked' }])
    expect(groups.skipped).toEqual([
      { path: 'host/web', reason: 'a symbolic link' },
      { path: 'vm', reason: 'a symbolic link' },
    ])
    expect(await store.listNamespaces([])).toEqual({ entries: [], skipped: [{ path: 'ns', reason: 'a symbolic link' }] })
    const linked: GroupRef = { ns: [], type: 'host', id: 'linked' }
    expect(await store.listSnapshots(linked)).toMatchObject({ entries: [], skipped: [{ reason: 'a symbolic link' }] })
    for (const action of [
      () => store.listSnapshots(web),
      () => store.groupInfo(web),
      () => store.readManifest({ group: web, time: T1 }),
      () => store.readManifest({ group: linked, time: T1 }),
      () => store.readFile({ group: web, time: T1 }, 'secret.conf.blob', 1000),
      () => store.readFile({ group: linked, time: T1 }, 'secret.conf.blob', 1000),
      () => store.listGroups(['n']),
      () => store.listSnapshots({ ns: ['n'], type: 'vm', id: '1' }),
    ]) {
      expect((await errorOf(action)).fields).toMatchObject({ code: 'ELOOP' })
    }
  })

  it('files that are links, fifos or folders are no files of a snapshot', async () => {
    const snapshot = writer.snapshot(web, T1)
    snapshot.addBlob('a.conf.blob', Buffer.from('aaa'))
    snapshot.addBlob('b.conf.blob', Buffer.from('bbb'))
    snapshot.finish()
    const path = join(writer.path, 'host/web', T1)
    rmSync(join(path, 'a.conf.blob'))
    symlinkSync('b.conf.blob', join(path, 'a.conf.blob'))
    symlinkSync('index.json.blob', join(path, '.protected'))
    symlinkSync('b.conf.blob', join(path, 'client.log.blob'))
    const ref = { group: web, time: T1 }
    expect((await errorOf(() => store.readFile(ref, 'a.conf.blob', 1000))).fields).toMatchObject({ code: 'ELOOP' })
    const files = await store.listFiles(ref)
    expect(files.map(({ name, stamp }) => [name, stamp !== undefined])).toEqual([
      ['index.json.blob', true],
      ['a.conf.blob', false],
      ['b.conf.blob', true],
    ])
    expect((await store.readManifest(ref)).protected).toBe(false)
    mkdirSync(join(path, 'c.conf.blob'))
    expect((await errorOf(() => store.readFile(ref, 'c.conf.blob', 1000))).fields).toMatchObject({ code: 'ENXIO' })
  })

  it('skips hostile names and says so', async () => {
    writer.write('ns/good/x', '')
    mkdirSync(join(writer.path, 'ns/-bad'))
    mkdirSync(join(writer.path, 'host/.hidden'), { recursive: true })
    mkdirSync(Buffer.concat([Buffer.from(writer.path), Buffer.from('/ns/\xff', 'latin1')]))
    writer.write('ns/file', '')
    expect(await store.listNamespaces([])).toEqual({
      entries: ['good'],
      skipped: expect.arrayContaining([
        { path: 'ns/-bad', reason: 'not a namespace name' },
        { path: 'ns/\\xff', reason: 'not a namespace name' },
        { path: 'ns/file', reason: 'not a directory' },
      ]) as unknown,
    })
    expect((await store.listGroups([])).skipped).toEqual([{ path: 'host/.hidden', reason: 'not a backup id' }])
  })

  it('stops at the depth limit of namespaces, and refuses names that are none', async () => {
    const deep = Array.from({ length: 8 }, (_, i) => `n${i}`)
    writer.write(join(...deep.flatMap((name) => ['ns', name]), 'x'), '')
    expect((await store.listNamespaces(deep.slice(0, 6))).entries).toEqual(['n6'])
    expect((await store.listNamespaces(deep.slice(0, 7))).entries).toEqual([])
    for (const ns of [deep, ['..'], ['a/b'], [''], ['a\0'], ['x'.repeat(256)]] as Namespace[]) {
      expect(await errorOf(() => store.listGroups(ns))).toBeInstanceOf(FormatError)
    }
    for (const group of [{ ...web, id: '../x' }, { ...web, id: '' }]) {
      expect(await errorOf(() => store.listSnapshots(group))).toBeInstanceOf(FormatError)
    }
    expect(await errorOf(() => store.readManifest({ group: web, time: '../..' }))).toBeInstanceOf(FormatError)
    for (const name of ['../owner', 'owner', '.protected', 'a/b.blob', '.x.blob', 'x.blob\0', '']) {
      expect(await errorOf(() => store.readFile({ group: web, time: T1 }, name, 10))).toBeInstanceOf(FormatError)
    }
  })

  it('two thousand snapshots are listed at once', async () => {
    const group = join(writer.path, 'host/web')
    mkdirSync(group, { recursive: true })
    for (let i = 0; i < 2000; i++) {
      const folder = join(group, new Date(1.6e12 + i * 3600_000).toISOString().slice(0, 19) + 'Z')
      mkdirSync(folder)
      writeFileSync(join(folder, 'index.json.blob'), '')
    }
    await store.listSnapshots(web)
    const start = performance.now()
    expect((await store.listSnapshots(web)).entries).toHaveLength(2000)
    // Takes about 15 ms on an idle machine; the tests share two cores.
    expect(performance.now() - start).toBeLessThan(500)
  })
})

describe('groups and snapshots', () => {
  it('reads owner, notes and protection', async () => {
    writer.addGroup(web, 'alice@pbs!token\nrest', 'first line\nsecond')
    writer.snapshot(web, T1).finish({ protected: true })
    const { owner, notes } = await store.groupInfo(web)
    expect([owner, Buffer.from(notes!).toString()]).toEqual(['alice@pbs!token', 'first line\nsecond'])
    expect((await store.readManifest({ group: web, time: T1 })).protected).toBe(true)
    expect(await store.snapshotInfo({ group: web, time: T1 })).toMatchObject({ protected: true })
    rmSync(join(writer.path, 'host/web/owner'))
    rmSync(join(writer.path, 'host/web/notes'))
    expect(await store.groupInfo(web)).toEqual({ owner: undefined, notes: undefined })
  })

  it('a changed manifest has another stamp, an unfinished or removed snapshot none', async () => {
    const ref = { group: web, time: T1 }
    const snapshot = writer.snapshot(web, T1)
    expect(await store.snapshotInfo(ref)).toBeUndefined()
    expect((await errorOf(() => store.readManifest(ref))).fields).toMatchObject({ code: 'ENOENT' })
    snapshot.finish()
    const before = await store.snapshotInfo(ref)
    expect(await store.snapshotInfo(ref)).toEqual(before)
    expect((await store.listSnapshots(web)).entries[0]!.manifest).toEqual(before!.stamp)
    snapshot.finish({ unprotected: { notes: 'changed' } })
    expect((await store.snapshotInfo(ref))!.stamp.identity).not.toBe(before!.stamp.identity)
    rmSync(join(writer.path, 'host/web', T1), { recursive: true })
    expect(await store.snapshotInfo(ref)).toBeUndefined()
  })

  it('reads files within the limit', async () => {
    const snapshot = writer.snapshot(web, T1)
    snapshot.addBlob('a.conf.blob', Buffer.from('aaa'), 'plain')
    writer.write(join(snapshot.relative, 'client.log.blob'), encodeBlob(Buffer.from('log')))
    writer.write(join(snapshot.relative, 'stray.conf.blob'), 'x')
    snapshot.finish()
    const ref = { group: web, time: T1 }
    expect(Buffer.from(await store.readFile(ref, 'a.conf.blob', 15))).toEqual(encodeBlob(Buffer.from('aaa'), 'plain'))
    expect(await errorOf(() => store.readFile(ref, 'a.conf.blob', 14))).toBeInstanceOf(FormatError)
    expect((await errorOf(() => store.readFile(ref, 'b.conf.blob', 14))).fields).toMatchObject({ code: 'ENOENT' })
    expect((await store.listFiles(ref)).map((file) => file.name)).toEqual(['index.json.blob', 'a.conf.blob', 'client.log.blob'])
  })

  it('a manifest that is encrypted or garbage is a named error', async () => {
    const path = writer.write(`host/web/${T1}/index.json.blob`, '')
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(100), encodeBlob(Buffer.from('{}'), 'encrypted'), encodeBlob(Buffer.from('[')), encodeBlob(Buffer.alloc(9_000_000, 0x20))]) {
      writeFileSync(path, bytes)
      expect((await errorOf(() => store.readManifest({ group: web, time: T1 }))).message).toContain(path)
    }
  })
})

describe.skipIf(golden === undefined)('the golden store', () => {
  it('has the groups and snapshots of its description, and indices that match their manifests', async () => {
    const real = openLocalDatastore(join(golden!, 'store'))
    const found: Record<string, number> = {}
    const walk = async (ns: Namespace): Promise<void> => {
      for (const group of (await real.listGroups(ns)).entries) {
        const { entries } = await real.listSnapshots(group)
        found[[...ns, `${group.type}/${group.id}`].join(' ')] = entries.length
        expect((await real.groupInfo(group)).owner).toMatch(/^root@pam(!tok)?$/)
        for (const { time } of entries) await checkSnapshot(real, group, time)
      }
      for (const name of (await real.listNamespaces(ns)).entries) await walk([...ns, name])
    }
    await walk([])
    expect(found).toEqual({
      'ct/200': 1, 'host/crypt': 2, 'host/crypt-master': 1, 'host/crypt-pbkdf2': 1, 'host/crypt-scrypt': 1, 'host/signed': 1,
      'host/tricky': 4, 'vm/100': 3, 'vm/101': 1, 'prod host/tricky': 1, 'prod eu host/tricky': 1,
    }) // prettier-ignore
    expect(await real.describe()).toMatchObject({ s3Cache: false, remarks: [] })
  })

  async function checkSnapshot(real: LocalDatastore, group: GroupRef, time: string): Promise<void> {
    const ref = { group, time }
    const { manifest, warnings } = await real.readManifest(ref)
    expect([...warnings, ...manifest.problems]).toEqual([])
    for (const file of manifest.files) {
      if (file.filename.endsWith('.blob')) continue
      compareWithManifest(parseIndex(await real.readFile(ref, file.filename, 1e6), file.filename), file)
    }
    expect((await real.listFiles(ref)).every((file) => file.stamp !== undefined)).toBe(true)
    expect(archivesOf(manifest).map((archive) => archive.kind)).not.toContain('stream')
  }

  it('shows protection, notes, verification, keys and signatures', async () => {
    const real = openLocalDatastore(join(golden!, 'store'))
    const tricky = await real.readManifest({ group: { ns: [], type: 'host', id: 'tricky' }, time: '2023-11-26T12:00:00Z' })
    expect(tricky.protected).toBe(true)
    expect(tricky.manifest.notes).toMatch(/./)
    expect(tricky.manifest.verify).toMatchObject({ state: 'ok', time: expect.any(Number) as unknown })
    expect(archivesOf(tricky.manifest).map((archive) => archive.name)).toEqual(['catalog.pcat1', 'etc.pxar', 'root.pxar'])
    const master = await real.readManifest({ group: { ns: [], type: 'host', id: 'crypt-master' }, time: '2023-12-04T12:00:00Z' })
    expect(archivesOf(master.manifest).map(({ name, kind, cryptMode }) => [name, kind, cryptMode])).toEqual([
      ['root.pxar', 'split-pxar', 'encrypt'],
      ['rsa-encrypted.key', 'blob', 'encrypt'],
    ])
    const { fingerprint } = JSON.parse(readFileSync(join(golden!, 'keys/plain.key'), 'utf8')) as { fingerprint: string }
    expect(master.manifest.keyFingerprint).toBe(fingerprint.replaceAll(':', ''))
    expect(master.manifest.signature).toMatch(/^[0-9a-f]{64}$/)
    expect(JSON.parse(Buffer.from(master.json).toString())).toMatchObject({ 'backup-id': 'crypt-master' })
  })
})
