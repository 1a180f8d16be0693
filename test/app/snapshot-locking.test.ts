import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { LockSettings } from '#src/app/snapshot-locking.js'
import { BusyError, SourceError } from '#src/errors/errors.js'
import { exampleStore } from '../support/golden.js'
import { LockServer } from '../support/lock-server.js'
import { waitUntil } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { OpenedTree } from '../support/opened-tree.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const OLD = '2026-01-01T00:00:00Z'
const NEXT = '2026-01-02T00:00:00Z'
const nameOf = (time: string) => `host-web-${time.replaceAll('-', '\\x2d').replaceAll(':', '\\x3a')}`
const root = temporaryFolder()
let count = 0
let store: string
let server: LockServer
const opened: OpenedTree[] = []

async function open(selector = '', locks: Omit<LockSettings, 'runtimeDir'> = {}, configDir = server.configDir): Promise<OpenedTree> {
  const tree = await OpenedTree.open(store + selector, { configDir, locks: { ...locks, runtimeDir: server.runtimeDir } })
  opened.push(tree)
  return tree
}

const folderOf = (time: string) => join(store, 'host/web', time)
const fileOf = (time: string) => server.lockFile('main', nameOf(time))
/** Whether the server could remove the snapshot, in its old way and in its new one. */
const isFree = async (time: string) => [await server.isFree(folderOf(time)), await server.isFree(fileOf(time))]
const held = (tree: OpenedTree) => tree.locks()!.held.map(({ snapshot }) => snapshot)

describeWith({ programs: { python3: 'python3' } }, 'locks of a tree', () => {
  beforeEach(() => {
    const base = join(root, String(count++))
    store = join(base, 'store')
    cpSync(exampleStore, store, { recursive: true })
    server = new LockServer(base, { main: store })
  })
  afterEach(async () => {
    for (const tree of opened.splice(0)) await tree.close()
    server.close()
  })

  it('are by default taken for what is entered, and kept to the end', async () => {
    const tree = await open()
    expect(tree.tree.open).toBeUndefined()
    await tree.names('host/web')
    await tree.entry(`host/web/${OLD}`)
    await tree.xattr(`host/web/${OLD}`, 'user.pbs.size')
    expect(held(tree)).toEqual([])
    await tree.names(`host/web/${OLD}`)
    await tree.read(`host/web/${NEXT}/root.pxar/etc/hostname`)
    expect(held(tree)).toEqual([`host/web/${OLD}`, `host/web/${NEXT}`])
    expect([await isFree(OLD), await isFree(NEXT)]).toEqual([[false, false], [false, false]])
    await tree.close()
    expect([await isFree(OLD), await isFree(NEXT)]).toEqual([[true, true], [true, true]])
  })

  it.each(['', '/root.pxar', '/root.pxar/etc', '/index.json'])('of a snapshot, or what is in it (%s), hold from the start to the end', async (inside) => {
    const tree = await open(`::host/web/${OLD}${inside}`, { releaseAfterMs: 1 })
    expect(tree.tree.open).toBeUndefined()
    expect(tree.locks()!.held).toEqual([{ snapshot: `host/web/${OLD}`, openFiles: 0, idleSeconds: 0, complete: true }])
    expect(await isFree(OLD)).toEqual([false, false])
    await tree.close()
    expect(await isFree(OLD)).toEqual([true, true])
  })

  it('are given up some time after the last request, and taken again', async () => {
    const tree = await open('', { releaseAfterMs: 50 })
    const path = `host/web/${OLD}/root.pxar/etc/hostname`
    const before = await tree.read(path)
    await waitUntil(() => held(tree).length === 0, 10_000, 'the lock given up')
    expect(await isFree(OLD)).toEqual([true, true])
    const handle = await tree.openFile(path)
    expect(handle).toBeGreaterThan(0)
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(tree.locks()!.held).toMatchObject([{ snapshot: `host/web/${OLD}`, openFiles: 1 }])
    expect(await isFree(OLD)).toEqual([false, false])
    expect(await tree.read(path)).toEqual(before)
    tree.releaseFile(handle)
    await waitUntil(() => held(tree).length === 0, 10_000, 'the lock given up')
    // A file beside the snapshots needs none.
    expect(await tree.openFile('.pbsfs/status')).toBe(0)
  })

  it.each(['folder', 'file'])('are refused while the server has its %s: not opened, everything else is', async (kind) => {
    await server.hold(kind === 'folder' ? folderOf(OLD) : fileOf(OLD))
    await expect(open(`::host/web/${OLD}`)).rejects.toThrow(BusyError)
    const tree = await open()
    await expect(tree.names(`host/web/${OLD}`)).rejects.toThrow(/in use by the server/)
    await expect(tree.read(`host/web/${OLD}/root.pxar/etc/hostname`)).rejects.toThrow(BusyError)
    expect(await tree.names('host/web')).toContain(OLD)
    expect(await tree.names(`host/web/${NEXT}`)).toContain('root.pxar')
    await server.release()
    expect(await tree.names(`host/web/${OLD}`)).toContain('root.pxar')
  })

  it('--no-lock opens it all the same and locks nothing', async () => {
    await server.hold(folderOf(OLD))
    const tree = await open('', { mode: 'none', releaseAfterMs: 50 })
    expect(tree.tree.open).toBeUndefined()
    expect(await tree.names(`host/web/${OLD}`)).toContain('root.pxar')
    await tree.names(`host/web/${NEXT}`)
    expect(await isFree(NEXT)).toEqual([true, true])
    expect(tree.locks()).toEqual({ none: 'by --no-lock', held: [] })
  })

  it('a store that no server here has is not locked, and refused when a lock is required', async () => {
    const none = join(root, 'no-config')
    mkdirSync(none, { recursive: true })
    const tree = await open('', { releaseAfterMs: 50 }, none)
    await tree.names(`host/web/${OLD}`)
    expect(tree.tree.open).toBeUndefined()
    expect(tree.locks()).toEqual({ none: 'no server on this host has the store', held: [] })
    expect(await isFree(OLD)).toEqual([true, true])
    expect(tree.log).toEqual([])
    await expect(open('', { mode: 'require' }, none)).rejects.toThrow(/no server on this host has this store/)
  })

  it('a configuration that cannot be read: locked the old way, with a warning', async () => {
    const bad = join(root, `bad-config-${count}`)
    mkdirSync(join(bad, 'datastore.cfg'), { recursive: true })
    const tree = await open('', {}, bad)
    await tree.names(`host/web/${OLD}`)
    expect(await isFree(OLD)).toEqual([false, true])
    expect(tree.log).toEqual([expect.stringMatching(/^warn it is not known what the server calls this store.*datastore\.cfg/)])
    expect(tree.locks()!.held).toMatchObject([{ complete: false }])
    await expect(open('', { mode: 'require' }, bad)).rejects.toThrow(SourceError)
  })

  it('what cannot be locked is opened with a warning, or refused when that is required', async () => {
    writeFileSync(join(server.runtimeDir, 'locks'), 'not a folder')
    const tree = await open()
    await tree.names(`host/web/${OLD}`)
    await tree.names(`host/web/${NEXT}`)
    expect(tree.log).toEqual([expect.stringMatching(/^warn snapshots are not fully locked.*not a directory/)])
    const strict = await open('', { mode: 'require' })
    await expect(strict.names(`host/web/${OLD}`)).rejects.toThrow(/cannot be locked, and that is required/)
    await expect(open(`::host/web/${OLD}`, { mode: 'require' })).rejects.toMatchObject({ tag: 'source', fields: { code: 'ENOTDIR' } })
    rmSync(join(server.runtimeDir, 'locks'))
    expect(await strict.names(`host/web/${OLD}`)).toContain('root.pxar')
  })
})
