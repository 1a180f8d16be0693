import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { ProblemLog } from '#src/app/problem-log.js'
import { reportDamage } from '#src/app/report-damage.js'
import { IntegrityError } from '#src/errors/errors.js'
import { noise } from '../support/chunk-rig.js'
import { DatastoreWriter, digestOf } from '../support/datastore-writer.js'
import { OpenedTree, type TreeSettings } from '../support/opened-tree.js'
import { dir, encodeArchive, file } from '../support/pxar-encoder.js'

const folder = mkdtempSync(join(tmpdir(), 'pbsfs-report-'))
afterAll(() => rmSync(folder, { recursive: true }))

const T = '2026-01-01T00:00:00Z'
const image = noise(3 * 65_536, 3)
const place = (name: string) => `host/web/${T}/${name}`

function makeStore(name: string): DatastoreWriter {
  const store = new DatastoreWriter(join(folder, name))
  const lost = file('a/b', 'never shown')
  const { meta } = encodeArchive(dir('', [dir('some', [dir('deep', [file('x', '1'), lost])])]))
  const snapshot = store.snapshot({ type: 'host', id: 'web' }, T)
  snapshot.addStream('root.pxar.didx', [meta])
  snapshot.addImage('drive.img.fidx', image, 65_536)
  snapshot.finish()
  return store
}

async function withTree<R>(store: DatastoreWriter, settings: TreeSettings, work: (tree: OpenedTree) => Promise<R>): Promise<R> {
  const tree = await OpenedTree.open(store.path, settings)
  try {
    return await work(tree)
  } finally {
    await tree.close()
  }
}

test('an entry that cannot be shown is named with its folder', async () => {
  await withTree(makeStore('entry'), {}, async (tree) => {
    expect(await tree.names(place('root.pxar/some/deep'))).toEqual(['x'])
    expect(tree.problems.list().map(({ fields }) => fields)).toMatchObject([{ archive: place('root.pxar'), folder: '/some/deep', name: 'a/b' }])
  })
})

test('zeros and fallbacks without a mount', async () => {
  const store = makeStore('zeros')
  cpSync(store.path, join(folder, 'copy'), { recursive: true })
  const digest = digestOf(image.subarray(65_536, 2 * 65_536))
  rmSync(store.chunkPath(digest))
  await withTree(store, { damaged: 'zero' }, async (tree) => {
    expect((await tree.read(place('drive.img'))).equals(Buffer.from(image).fill(0, 65_536, 2 * 65_536))).toBe(true)
    const text = await tree.problems.render()
    for (const part of [digest.toString('hex'), 'zeroed=true', 'fileOffset=65536', 'length=65536', `file=/${place('drive.img')}`]) expect(text).toContain(part)
    expect(tree.log.filter((line) => line.includes('is missing')).length).toBe(1)
  })
  await withTree(store, { fallbacks: [join(folder, 'copy')] }, async (tree) => {
    expect((await tree.read(place('drive.img'))).equals(image)).toBe(true)
    expect(await tree.problems.render()).toContain(`fallback=${join(folder, 'copy')}`)
  })
  await withTree(store, {}, async (tree) => {
    await expect(tree.read(place('drive.img'))).rejects.toMatchObject({ tag: 'chunk-unavailable', fields: { offset: 65_536, length: 65_536 } })
  })
})

test('a lone archive has no fallback', async () => {
  const path = join(folder, 'lone.pxar')
  writeFileSync(path, encodeArchive(dir('', [file('x', '1')])).meta)
  await expect(OpenedTree.open(path, { fallbacks: [folder] })).rejects.toThrow(/has no chunks/)
})

test('what is seen again is counted, and its place not looked for again', async () => {
  const problems = new ProblemLog()
  const logged: unknown[] = []
  let asked = 0
  const tree = { placeOf: () => Promise.resolve({ archive: 'a', file: `/${++asked}` }) }
  const error = new IntegrityError('altered', { digest: 'ab' })
  for (let i = 0; i < 3; i++) {
    reportDamage({ log: { warn: (_message, fields) => void logged.push(fields) }, problems }, tree, { hi: 1, lo: i }, error.message, { ...error.fields, offset: i })
  }
  expect(await problems.render()).toMatch(/3x altered \(digest=ab, offset=0, archive=a, file=\/1\)/)
  expect([asked, logged]).toEqual([1, [{ archive: 'a', file: '/1', digest: 'ab', offset: 0 }]])
})
