import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { noise } from '../support/chunk-rig.js'
import { DatastoreWriter, digestOf } from '../support/datastore-writer.js'
import { MountRig } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'

const T = '2026-01-01T00:00:00Z'
const image = noise(65_536, 3)

let rig: MountRig
let store: DatastoreWriter
beforeEach(() => {
  rig = new MountRig()
  store = new DatastoreWriter(rig.at('store'))
  for (const id of ['a', 'b']) {
    const snapshot = store.snapshot({ type: 'host', id }, T)
    snapshot.addImage('drive.img.fidx', image, 65_536)
    snapshot.addBlob('some.conf.blob', Buffer.from('x'))
    snapshot.finish()
  }
})
afterEach(() => rig.cleanUp())

/** Moves something out of the store and leaves a link to it. */
function moveOut(path: string): void {
  const outside = rig.at('outside', path.slice(store.path.length + 1))
  mkdirSync(dirname(outside), { recursive: true })
  renameSync(path, outside)
  symlinkSync(outside, path)
}

describeWith({ fuse: true }, 'links in the folders of a store lead nowhere', () => {
  const drive = (mounted: string, id = 'a') => join(mounted, 'host', id, T, 'drive.img')

  it.each([
    ['a chunk', () => store.chunkPath(digestOf(image))],
    ['a folder of chunks', () => dirname(store.chunkPath(digestOf(image)))],
    ['an index', () => join(store.path, 'host/a', T, 'drive.img.fidx')],
  ])('%s: not read, although it is whole where the link leads', async (_what, pathOf) => {
    moveOut(pathOf())
    const { path } = await rig.mount(store.path)
    expect(() => readFileSync(drive(path))).toThrow(/EIO/)
    expect(readFileSync(join(path, '.pbsfs/errors'), 'utf8')).toContain('symbolic link')
  })

  it('a snapshot, a group, a type: not shown, the others are', async () => {
    moveOut(join(store.path, 'host/a', T))
    cpSync(join(store.path, 'host/b'), rig.at('elsewhere'), { recursive: true })
    symlinkSync(rig.at('elsewhere'), join(store.path, 'host/c'))
    symlinkSync(rig.at('elsewhere'), join(store.path, 'vm'))
    const { path } = await rig.mount(store.path)
    expect(readdirSync(path)).toEqual(['host'])
    expect(readdirSync(join(path, 'host'))).toEqual(['a', 'b'])
    expect(readdirSync(join(path, 'host/a')).filter((name) => name !== 'latest')).toEqual([])
    expect(readFileSync(drive(path, 'b')).equals(image)).toBe(true)
  })

  it('the chunk folder itself: refused, with what to do', async () => {
    moveOut(join(store.path, '.chunks'))
    await expect(rig.mount(store.path)).rejects.toThrow(/symbolic link.*mount --bind/)
  })

  it('the path of the store may be one: its user gave it', async () => {
    symlinkSync(store.path, rig.at('link'))
    const { path } = await rig.mount(rig.at('link'))
    expect(readFileSync(drive(path)).equals(image)).toBe(true)
    rmSync(rig.at('link'))
  })
})
