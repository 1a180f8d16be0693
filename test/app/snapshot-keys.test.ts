import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { decodeBlobFile } from '#src/blob/decode.js'
import { IntegrityError, KeyError, NodeError, PbsfsError } from '#src/errors/errors.js'
import {
  DatastoreWriter, digestOf, encodeBlob, encodeFixedIndex, indexCsum, testKey,
  type BlobKind, type SnapshotWriter, type TestKey,
} from '../support/datastore-writer.js' // prettier-ignore
import { encodeKeyFile, encryptForMaster, makeTestKey, signManifest, TEST_FINGERPRINT } from '../support/key-writer.js'
import { OpenedTree, type TreeSettings } from '../support/opened-tree.js'
import { temporaryFolder } from '../support/temporary-folder.js'
import { generateRsaPair } from '../support/rsa-pair.js'

const TIME = '2026-01-02T00:00:00Z'
const PLACE = `host/a/${TIME}`
const IMAGE = `${PLACE}/disk.img`
const CONF = `${PLACE}/web.conf`
const folder = temporaryFolder()
const image = Buffer.concat([Buffer.alloc(65536, 'data'), Buffer.alloc(65536), Buffer.from('tail')])
const conf = Buffer.from('a configuration')
const otherKey = makeTestKey(7)

let next = 0
const trees: OpenedTree[] = []
afterEach(async () => {
  for (const tree of trees.splice(0)) await tree.close()
})

async function open(store: DatastoreWriter, settings: TreeSettings = {}, selector = ''): Promise<OpenedTree> {
  const tree = await OpenedTree.open(`${store.path}${selector === '' ? '' : `::${selector}`}`, settings)
  trees.push(tree)
  return tree
}

interface Protection {
  key?: TestKey
  fingerprint?: string | null
  signature?: string | null
  mode?: 'encrypt' | 'sign-only' | 'none'
  /** Before the manifest is written. */
  prepare?: (snapshot: SnapshotWriter, store: DatastoreWriter) => void
}

/** A store with one snapshot of an image with a hole and a configuration, encrypted and signed unless said otherwise. */
function writeStore({ key = testKey, fingerprint = TEST_FINGERPRINT, signature, mode = 'encrypt', prepare }: Protection = {}): DatastoreWriter {
  const store = new DatastoreWriter(join(folder, `store-${next++}`))
  const snapshot = store.snapshot({ type: 'host', id: 'a' }, TIME)
  const kind: BlobKind = mode === 'encrypt' ? 'encrypted-zstd' : 'zstd'
  snapshot.addImage('disk.img.fidx', image, 65536, kind, { key })
  snapshot.addBlob('web.conf.blob', conf, kind, { key })
  if (mode === 'sign-only') for (const file of snapshot.files) file['crypt-mode'] = mode
  prepare?.(snapshot, store)
  const unprotected = fingerprint === null ? {} : { 'key-fingerprint': fingerprint }
  snapshot.finish({ unprotected, signature: signature === undefined ? signManifest(snapshot.manifestJson(), key) : signature })
  return store
}

async function expectContent(tree: OpenedTree): Promise<void> {
  expect((await tree.read(IMAGE)).equals(image)).toBe(true)
  expect((await tree.read(CONF)).equals(conf)).toBe(true)
}

describe('an encrypted snapshot', () => {
  test('with its key: content and signature', async () => {
    const tree = await open(writeStore(), { keys: [testKey] })
    await expectContent(tree)
    expect(await tree.xattr(PLACE, 'user.pbs.signature')).toBe('verified')
    expect(await tree.xattr(PLACE, 'user.pbs.encrypted')).toBe('encrypt')
    expect(await tree.xattr(PLACE, 'user.pbs.key')).toBeUndefined()
    expect(tree.log).toEqual([])
  })

  test('the right one of several keys is chosen', async () => {
    const tree = await open(writeStore(), { keys: [otherKey, testKey, makeTestKey(9)] })
    await expectContent(tree)
  })

  test('without its key: names, sizes, and what is lacking', async () => {
    const tree = await open(writeStore(), { keys: [otherKey] })
    expect(await tree.names(PLACE)).toEqual(expect.arrayContaining(['disk.img', 'index.json', 'web.conf']))
    expect((await tree.entry(IMAGE)).attr.size).toBe(image.length)
    const needs = await tree.xattr(PLACE, 'user.pbs.key')
    expect(needs).toMatch(new RegExp(`^needs key ${TEST_FINGERPRINT}; given: [0-9a-f:]{95}$`))
    expect(await tree.xattr(IMAGE, 'user.pbs.key')).toBe(`${PLACE}: ${needs}`)
    expect(await tree.xattr(PLACE, 'user.pbs.signature')).toMatch(`not verified: made with key ${TEST_FINGERPRINT}; given: `)
    for (const path of [IMAGE, CONF]) {
      const error = await tree.read(path).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(KeyError)
      expect(error).toMatchObject({ message: `${PLACE}: ${needs}`, fields: { wanted: TEST_FINGERPRINT } })
    }
    expect(tree.log).toEqual([`warn ${PLACE}: ${needs}`])
    expect(tree.problems.list()).toHaveLength(1)
    expect((await tree.read(`${PLACE}/index.json`)).toString()).toContain('"disk.img.fidx"')
  })

  test('no key at all', async () => {
    const tree = await open(writeStore())
    expect(await tree.xattr(PLACE, 'user.pbs.key')).toBe(`needs key ${TEST_FINGERPRINT}; given: none`)
  })

  test.each([`host/a/latest`, `host/a/latest/disk.img`, `host/a/latest/web.conf`])('%s as the root of a mount needs the key at once', async (selector) => {
    const store = writeStore()
    await expect(open(store, {}, selector)).rejects.toThrow(KeyError)
    await open(store, { keys: [testKey] }, selector)
  })

  test('its log is encrypted, too, and shown as a file that needs the key', async () => {
    const log = encodeBlob(Buffer.from('log'), 'encrypted')
    const store = writeStore({ prepare: (snapshot, writer) => writer.write(join(snapshot.relative, 'client.log.blob'), log) })
    expect((await (await open(store, { keys: [testKey] })).read(`${PLACE}/client.log`)).toString()).toBe('log')
    const without = await open(store)
    expect((await without.entry(`${PLACE}/client.log`)).attr.size).toBe(0)
    expect(await without.xattr(`${PLACE}/client.log`, 'user.pbs.key')).toMatch('needs key')
    await expect(without.read(`${PLACE}/client.log`)).rejects.toThrow(KeyError)
  })

  test('chunks of two keys with the same content are kept apart', async () => {
    const store = writeStore()
    const second = store.snapshot({ type: 'host', id: 'b' }, TIME)
    second.addImage('disk.img.fidx', image, 65536, 'encrypted-zstd', { key: otherKey })
    second.finish({ signature: signManifest(second.manifestJson(), otherKey) })
    const tree = await open(store, { keys: [testKey, otherKey] })
    await expectContent(tree)
    expect((await tree.read(`host/b/${TIME}/disk.img`)).equals(image)).toBe(true)
  })
})

describe('the key a backup carries for the holder of the master key', () => {
  const master = generateRsaPair(2048)
  const stranger = generateRsaPair(2048)
  const withKey = (keyFile: Uint8Array) =>
    writeStore({
      prepare: (snapshot) => {
        snapshot.addBlob('rsa-encrypted.key.blob', encryptForMaster(keyFile, master.publicKey), 'plain')
        snapshot.files.at(-1)!['crypt-mode'] = 'encrypt'
      },
    })

  test('opens it, and other snapshots of the same key', async () => {
    const store = withKey(encodeKeyFile())
    const second = store.snapshot({ type: 'host', id: 'b' }, TIME)
    second.addBlob('web.conf.blob', conf, 'encrypted')
    second.finish({ signature: signManifest(second.manifestJson()), unprotected: { 'key-fingerprint': TEST_FINGERPRINT } })
    const tree = await open(store, { masterKeys: [stranger.privateKey, master.privateKey] })
    expect(await tree.xattr(`host/b/${TIME}`, 'user.pbs.key')).toMatch('it carries no key for a master key')
    await expectContent(tree)
    expect(await tree.xattr(PLACE, 'user.pbs.signature')).toBe('verified')
    expect((await tree.read(`host/b/${TIME}/web.conf`)).equals(conf)).toBe(true)
    expect((await tree.read(`${PLACE}/rsa-encrypted.key`)).length).toBe(256)
  })

  test.each<[string, Uint8Array, TreeSettings, string]>([
    ['another master key', encodeKeyFile(), { masterKeys: [stranger.privateKey] }, 'was made for another master key'],
    ['a key of another backup', encodeKeyFile(otherKey), { masterKeys: [master.privateKey] }, 'holds '],
    ['something that is no key', Buffer.from('{}'), { masterKeys: [master.privateKey] }, 'not a key file'],
  ])('%s: the sentence says so', async (_, keyFile, settings, sentence) => {
    const tree = await open(withKey(keyFile), settings)
    expect(await tree.xattr(PLACE, 'user.pbs.key')).toMatch(sentence)
    await expect(tree.read(IMAGE)).rejects.toThrow(KeyError)
  })
})

describe('signatures', () => {
  test('sign-only without the key: opens, and says that it is not verified', async () => {
    const tree = await open(writeStore({ mode: 'sign-only' }))
    await expectContent(tree)
    expect(await tree.xattr(PLACE, 'user.pbs.encrypted')).toBe('sign-only')
    expect(await tree.xattr(PLACE, 'user.pbs.signature')).toBe(`not verified: made with key ${TEST_FINGERPRINT}; given: none`)
    expect(await tree.xattr(PLACE, 'user.pbs.key')).toBeUndefined()
    expect(tree.log.join()).toMatch('not verified')
  })

  test('sign-only with the key', async () => {
    const tree = await open(writeStore({ mode: 'sign-only' }), { keys: [testKey] })
    await expectContent(tree)
    expect(await tree.xattr(PLACE, 'user.pbs.signature')).toBe('verified')
  })

  test('an ordinary backup has none', async () => {
    const tree = await open(writeStore({ mode: 'none', fingerprint: null, signature: null }), { keys: [testKey] })
    await expectContent(tree)
    expect(await tree.xattr(PLACE, 'user.pbs.signature')).toBe('none')
  })

  const refused: [string, Protection, string][] = [
    ['wrong', { signature: '00'.repeat(32) }, 'the signature of its manifest is wrong'],
    ['wrong, sign-only', { signature: '00'.repeat(32), mode: 'sign-only' }, 'the signature of its manifest is wrong'],
    ['no hex', { signature: 'x' }, 'the signature of its manifest is wrong'],
    ['missing where a key is named', { signature: null }, 'names a key but is not signed'],
    ['of a key that was not given, and none is named', { key: testKey, fingerprint: null, signature: '11'.repeat(32) }, 'none of the given keys'],
  ]
  test.each(refused)('%s: refused by name, shown with --force', async (_, protection, message) => {
    const store = writeStore(protection)
    const tree = await open(store, { keys: [testKey] })
    expect(await tree.names(PLACE)).toContain('disk.img')
    for (const path of [IMAGE, CONF]) {
      await expect(tree.read(path)).rejects.toThrow(IntegrityError)
      await expect(tree.read(path)).rejects.toThrow(message)
    }
    expect(await tree.xattr(PLACE, 'user.pbs.error')).toMatch(message)
    expect(await tree.xattr(PLACE, 'user.pbs.signature')).toMatch(/^(?:wrong|missing)$/)
    expect(tree.log).toEqual([expect.stringMatching(`^error ${PLACE}: .*${message}`)])
    await expect(open(store, { keys: [testKey] }, PLACE)).rejects.toThrow(IntegrityError)
    if (message.startsWith('none')) return
    const forced = await open(store, { keys: [testKey], force: true })
    await expectContent(forced)
    expect(forced.log).toEqual([expect.stringMatching(`^warn ${PLACE}: .*${message}`)])
  })

  test('a manifest that names no key: the one that made its signature', async () => {
    const tree = await open(writeStore({ fingerprint: null }), { keys: [otherKey, testKey] })
    await expectContent(tree)
    expect(await tree.xattr(PLACE, 'user.pbs.signature')).toBe('verified')
  })

  test('neither key nor signature, but encrypted: the key that fits, with a warning', async () => {
    const store = writeStore({ fingerprint: null, signature: null })
    const tree = await open(store, { keys: [otherKey, testKey] })
    await expectContent(tree)
    expect(tree.log).toEqual([expect.stringMatching('^warn .*not signed and names no key')])
    await expect((await open(store, { keys: [otherKey, makeTestKey(9)] })).read(IMAGE)).rejects.toThrow(KeyError)
    await expect((await open(store)).read(IMAGE)).rejects.toThrow(KeyError)
  })
})

describe('files that are not what the manifest says', () => {
  const plainImage = encodeFixedIndex(65536, [digestOf(Buffer.alloc(65536, 'data'))], { chunkSize: 65536 })
  const cases: [string, Protection['prepare'], string, string][] = [
    ['index checksum', (snapshot) => (snapshot.files[0]!.csum = '00'.repeat(32)), IMAGE, 'checksum is not the one'],
    ['index length', (snapshot) => (snapshot.files[0]!.size += 5), IMAGE, 'is not the'],
    ['blob checksum', (snapshot) => (snapshot.files[1]!.csum = '00'.repeat(32)), CONF, 'another checksum'],
    ['blob length', (snapshot) => (snapshot.files[1]!.size += 5), CONF, 'another length'],
    ['a plain blob said to be encrypted', (snapshot) => {
      snapshot.files.pop()
      snapshot.addBlob('web.conf.blob', conf, 'zstd')
      snapshot.files.at(-1)!['crypt-mode'] = 'encrypt'
    }, CONF, 'not encrypted, against'],
    ['an encrypted blob said to be plain', (snapshot) => (snapshot.files[1]!['crypt-mode'] = 'none'), CONF, 'encrypted, against'],
    ['encrypted chunks said to be plain', (snapshot) => (snapshot.files[0]!['crypt-mode'] = 'none'), IMAGE, 'encrypted chunk in an archive that is not'],
    ['plain chunks said to be encrypted', (snapshot, store) => {
      store.addChunk(Buffer.alloc(65536, 'data'))
      snapshot.files.shift()
      snapshot.addFile('disk.img.fidx', plainImage, 65536, indexCsum(plainImage), 'encrypt')
    }, IMAGE, 'plain chunk in an encrypted archive'],
  ] // prettier-ignore
  test.each(cases)('%s: refused by name, shown with --force', async (_, prepare, path, message) => {
    const store = writeStore({ prepare: (snapshot, writer) => prepare!(snapshot, writer) })
    const tree = await open(store, { keys: [testKey] })
    await expect(tree.read(path)).rejects.toThrow(IntegrityError)
    await expect(tree.read(path)).rejects.toThrow(message)
    const forced = await open(store, { keys: [testKey], force: true })
    const content = path === CONF ? conf : image
    const shown = await forced.read(path)
    expect(shown.length).toBeGreaterThan(0)
    expect(shown.equals(content.subarray(0, shown.length))).toBe(true)
  })
})

describe('any flipped byte: the right bytes or a named error', () => {
  const RUNS = 60

  /** How many of the snapshots could not be read as a whole. One for each flip, so that one open tree reads them all. */
  async function readDamaged(damage: (store: DatastoreWriter, snapshot: SnapshotWriter, own: Buffer, flip: Flip) => void): Promise<number> {
    const store = new DatastoreWriter(join(folder, `store-${next++}`))
    const flips = fc.sample(fc.record({ at: fc.nat(), mask: fc.integer({ min: 1, max: 255 }) }), RUNS)
    for (const [i, flip] of flips.entries()) {
      // A chunk of its own.
      const own = Buffer.concat([image, Buffer.from(`${i}`)])
      const snapshot = store.snapshot({ type: 'host', id: `a${i}` }, TIME)
      snapshot.addImage('disk.img.fidx', own, 65536, 'encrypted-zstd')
      snapshot.addBlob('web.conf.blob', conf, 'encrypted-zstd')
      snapshot.finish({ unprotected: { 'key-fingerprint': TEST_FINGERPRINT }, signature: signManifest(snapshot.manifestJson()) })
      damage(store, snapshot, own, flip)
    }
    const tree = await open(store, { keys: [otherKey, testKey] })
    let damaged = 0
    for (const [i, flip] of flips.entries()) {
      const own = Buffer.concat([image, Buffer.from(`${i}`)])
      const failures = [await failureOf(tree, i, 'disk.img', own), await failureOf(tree, i, 'web.conf', conf)]
      for (const failure of failures) expect(failure ?? new NodeError('ENOENT'), JSON.stringify(flip)).toBeInstanceOf(PbsfsError)
      if (failures.some((failure) => failure !== undefined)) damaged++
    }
    return damaged
  }

  interface Flip {
    readonly at: number
    readonly mask: number
  }

  /** undefined: the right bytes were read. */
  async function failureOf(tree: OpenedTree, i: number, name: string, content: Buffer): Promise<unknown> {
    try {
      const read = await tree.read(`host/a${i}/${TIME}/${name}`)
      return read.equals(content) ? undefined : new Error('wrong bytes')
    } catch (error) {
      return error
    }
  }

  function flipFile(path: string, { at, mask }: Flip, isPart: (at: number) => boolean = () => true): void {
    const bytes = readFileSync(path)
    const places = [...bytes.keys()].filter(isPart)
    bytes[places[at % places.length]!]! ^= mask
    writeFileSync(path, bytes)
  }

  test('of a chunk: always an error', async () => {
    const damaged = await readDamaged((store, _, own, flip) => flipFile(store.chunkPath(digestOf(own.subarray(131072), testKey)), flip))
    expect(damaged).toBe(RUNS)
  })

  test.each(['web.conf.blob', 'index.json.blob'])('of the file %s: always an error', async (name) => {
    expect(await readDamaged((store, { relative }, _, flip) => flipFile(join(store.path, relative, name), flip))).toBe(RUNS)
  })

  test('of an index: always an error', async () => {
    // Creation time, identity and reserved bytes say nothing about the content.
    const says = (at: number) => at < 8 || (at >= 64 && at < 80) || at >= 4096
    const damaged = await readDamaged((store, { relative }, _, flip) => flipFile(join(store.path, relative, 'disk.img.fidx'), flip, says))
    expect(damaged).toBe(RUNS)
  })

  test('of the manifest inside its blob, by somebody who knows how to write one', async () => {
    const damaged = await readDamaged((store, { relative }, _, { at, mask }) => {
      const path = join(store.path, relative, 'index.json.blob')
      const json = Buffer.from(decodeBlobFile(readFileSync(path), path))
      json[at % json.length]! ^= mask
      writeFileSync(path, encodeBlob(json))
    })
    // Only what is not signed, and blanks, may change.
    expect(damaged).toBeGreaterThan(RUNS / 2)
  })
})
