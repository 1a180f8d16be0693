import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { BusyError } from '#src/errors/errors.js'
import type { ServerPlace, SnapshotRef } from '#src/source/datastore.js'
import { LocalDatastore, openLocalDatastore } from '#src/source/local-datastore.js'
import { openStoreThread } from '#src/source/store-thread.js'
import { DatastoreWriter } from '../support/datastore-writer.js'
import { LockServer } from '../support/lock-server.js'
import { describeWith, skipWithout } from '../support/needs.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const BACKUP = 34
const T = '2026-01-02T00:00:00Z'
const LOCK = 'host-web-2026\\x2d01\\x2d02T00\\x3a00\\x3a00Z'
const snapshot: SnapshotRef = { group: { ns: ['prod'], type: 'host', id: 'web' }, time: T }
const root = temporaryFolder()
let count = 0

let path: string
let folder: string
let server: LockServer
let place: ServerPlace
let store: LocalDatastore

function setUp(owner?: number): void {
  const base = join(root, String(count++))
  path = join(base, 'store')
  const writer = new DatastoreWriter(path)
  writer.addGroup(snapshot.group, 'root@pam')
  const written = writer.snapshot(snapshot.group, T)
  written.addBlob('a.conf.blob', Buffer.from('conf'))
  written.finish()
  folder = join(path, 'ns/prod/host/web', T)
  server = new LockServer(base, { main: path }, owner)
  place = { store: 'main', runtimeDir: server.runtimeDir }
  store = openLocalDatastore(path)
}

describeWith({ programs: { python3: 'python3' } }, 'the lock of a snapshot', () => {
  beforeEach(() => setUp())
  afterEach(async () => {
    await store.close()
    server.close()
  })

  const lockFile = () => server.lockFile('main', 'prod', LOCK)
  const isFree = async () => [await server.isFree(folder), await server.isFree(lockFile())]

  it('keeps the server out in both of its ways, and lets it in afterwards', async () => {
    const lock = (await store.lockSnapshot(snapshot, place))!
    expect(lock.problems).toEqual([])
    expect(lock.stamp).toEqual((await store.snapshotInfo(snapshot))!.stamp)
    expect(await isFree()).toEqual([false, false])
    await store.unlockSnapshot(snapshot, lock.id)
    expect(await isFree()).toEqual([true, true])
    // The server leaves the file behind, and so do we.
    expect(existsSync(lockFile())).toBe(true)
  })

  it('of a name that is too long for a file: the hashed one', async () => {
    const long: SnapshotRef = { group: { ns: ['n1'], type: 'host', id: 'a-b'.repeat(40) }, time: '2024-10-07T13:32:11Z' }
    new DatastoreWriter(path).snapshot(long.group, long.time).finish()
    await store.lockSnapshot(long, place)
    const [name, ...others] = readdirSync(server.lockFile('main', 'n1', 'hashed'))
    expect(others).toEqual([])
    expect(name).toMatch(/^host-a\\x2db.*\.\.\..*-565263bf5470e7079cd08784794e62b83cace258feabef436b31a5774b1e00e1$/)
    expect(await server.isFree(server.lockFile('main', 'n1', 'hashed', name!))).toBe(false)
  })

  it('goes together with other readers', async () => {
    await server.share(folder)
    await server.share(lockFile())
    const [a, b] = [(await store.lockSnapshot(snapshot, place))!, (await store.lockSnapshot(snapshot, place))!]
    await server.release()
    await store.unlockSnapshot(snapshot, a.id)
    expect(await isFree()).toEqual([false, false])
    await store.unlockSnapshot(snapshot, b.id)
    expect(await isFree()).toEqual([true, true])
  })

  it.each(['folder', 'file'])('is refused while the server has its %s', async (kind) => {
    await server.hold(kind === 'folder' ? folder : lockFile())
    await expect(store.lockSnapshot(snapshot, place)).rejects.toThrow(BusyError)
    await expect(store.lockSnapshot(snapshot, place)).rejects.toThrow(/host\/web.*: in use by the server/)
    // Nothing of the other kind is left.
    const other = kind === 'folder' ? lockFile() : folder
    expect(await server.hold(other)).toBe('held')
    await server.release()
    expect((await store.lockSnapshot(snapshot, place))!.problems).toEqual([])
  })

  it('is not taken, and no file is made, for a snapshot that is not there or not finished', async () => {
    expect(await store.lockSnapshot({ ...snapshot, time: '2026-01-05T00:00:00Z' }, place)).toBeUndefined()
    rmSync(join(folder, 'index.json.blob'))
    expect(await store.lockSnapshot(snapshot, place)).toBeUndefined()
    expect(readdirSync(server.runtimeDir)).toEqual([])
  })

  it('survives that other descriptors of the same files are closed', async () => {
    await store.lockSnapshot(snapshot, place)
    const second = (await store.lockSnapshot(snapshot, place))!
    await store.unlockSnapshot(snapshot, second.id)
    await store.listFiles(snapshot)
    expect(await isFree()).toEqual([false, false])
  })

  it('leaves no descriptor open, whatever happens', async () => {
    const before = openPaths()
    const lock = (await store.lockSnapshot(snapshot, place))!
    expect(openPaths().length).toBe(before.length + 2)
    await store.unlockSnapshot(snapshot, lock.id)
    await store.unlockSnapshot(snapshot, lock.id)
    await server.hold(folder)
    await store.lockSnapshot(snapshot, place).catch(() => undefined)
    await store.lockSnapshot(snapshot, { ...place, store: 'no/such' }).catch(() => undefined)
    await server.release()
    await server.hold(lockFile())
    await store.lockSnapshot(snapshot, place).catch(() => undefined)
    expect(openPaths()).toEqual(before)
    await server.release()
    await store.lockSnapshot(snapshot, place)
    await store.close()
    expect(openPaths()).toEqual(before)
  })

  it('a lock file that is removed and made again meanwhile is locked in its new shape', async () => {
    await store.lockSnapshot(snapshot, place)
    await store.close()
    const old = statSync(lockFile()).ino
    rmSync(lockFile())
    writeFileSync(join(server.runtimeDir, 'other'), '')
    await store.lockSnapshot(snapshot, place)
    expect(await server.isFree(lockFile())).toBe(false)
    expect(statSync(lockFile()).ino).not.toBe(old)
  })

  it('is never one on a file that the server removed at that moment', async () => {
    await store.lockSnapshot(snapshot, place)
    await store.close()
    const remover = spawn('python3', ['-c', REMOVE_AGAIN_AND_AGAIN, lockFile()], { stdio: 'ignore' })
    try {
      let taken = 0
      let busy = 0
      for (let i = 0; i < 1000; i++) {
        const lock = await store.lockSnapshot(snapshot, place).catch((error: unknown) => error as Error)
        if (lock instanceof BusyError) busy++
        else if (lock instanceof Error || lock === undefined) throw lock ?? new Error('gone')
        else {
          taken++
          expect(lock.problems).toEqual([])
          expect(openPaths().filter((open) => open.endsWith(' (deleted)'))).toEqual([])
          await store.unlockSnapshot(snapshot, lock.id)
        }
      }
      expect(taken).toBeGreaterThan(0)
      expect(taken + busy).toBe(1000)
    } finally {
      remover.kill('SIGKILL')
    }
  })

  it.each<[string, (at: string) => void, string]>([
    ['a link in the place of the file', (at) => symlinkSync('/etc/passwd', at), 'ELOOP'],
    ['a fifo', (at) => execFileSync('mkfifo', [at]), 'ENXIO'],
    ['a folder', (at) => mkdirSync(at), 'EISDIR'],
  ])('%s is not locked, and said', async (_name, put, code) => {
    mkdirSync(server.lockFile('main', 'prod'), { recursive: true })
    put(lockFile())
    const lock = (await store.lockSnapshot(snapshot, place))!
    expect(lock.problems).toMatchObject([{ kind: 'file', code }])
    expect(await server.isFree(folder)).toBe(false)
  })

  it('a link in the place of a folder is not followed', async () => {
    const elsewhere = join(root, `elsewhere-${count}`)
    mkdirSync(elsewhere)
    mkdirSync(join(server.runtimeDir, 'locks'))
    symlinkSync(elsewhere, server.lockFile('main'))
    expect((await store.lockSnapshot(snapshot, place))!.problems).toMatchObject([{ kind: 'file', code: 'ENOTDIR' }])
    expect(readdirSync(elsewhere)).toEqual([])
  })

  it('says what is missing: the server has not run, the name of the store is not known', async () => {
    const nowhere = { store: 'main', runtimeDir: join(root, 'nowhere') }
    expect((await store.lockSnapshot(snapshot, nowhere))!.problems).toMatchObject([
      { kind: 'file', code: 'ENOENT', message: expect.stringContaining('the server has not run') as unknown },
    ])
    expect(existsSync(nowhere.runtimeDir)).toBe(false)
    const unnamed = { store: undefined, runtimeDir: server.runtimeDir }
    expect((await store.lockSnapshot(snapshot, unnamed))!.problems).toMatchObject([{ kind: 'file', code: 'unknown' }])
  })

  it('never opens .lock, and writes nothing into the store', async () => {
    writeFileSync(join(path, '.lock'), '')
    const before = execFileSync('find', [path, '-printf', '%p %T@ %C@\n'], { encoding: 'utf8' })
    const lock = (await store.lockSnapshot(snapshot, place))!
    expect(openPaths().some((open) => open.endsWith('/.lock'))).toBe(false)
    await store.unlockSnapshot(snapshot, lock.id)
    expect(execFileSync('find', [path, '-printf', '%p %T@ %C@\n'], { encoding: 'utf8' })).toBe(before)
  })

  it('of the thread of a store goes when that is closed', async () => {
    const thread = await openStoreThread({ kind: 'local', path })
    const lock = (await thread.lockSnapshot(snapshot, place))!
    expect(lock.problems).toEqual([])
    expect(await isFree()).toEqual([false, false])
    await thread.unlockSnapshot(snapshot, lock.id)
    expect(await isFree()).toEqual([true, true])
    await thread.lockSnapshot(snapshot, place)
    await server.hold(folder)
    await thread.close()
    expect(await isFree()).toEqual([true, true])
  })
})

describeWith({ programs: { python3: 'python3' }, root: true }, 'lock files', () => {
  afterEach(async () => {
    await store.close()
    server.close()
  })

  it('are made as the server makes them, whatever the umask is', async () => {
    setUp(BACKUP)
    const mask = process.umask(0o077)
    try {
      expect((await store.lockSnapshot(snapshot, place))!.problems).toEqual([])
    } finally {
      process.umask(mask)
    }
    const shapes = [[], ['main'], ['main', 'prod'], ['main', 'prod', LOCK]].map((parts) => {
      const { mode, uid, gid } = statSync(join(server.runtimeDir, 'locks', ...parts))
      return [(mode & 0o7777).toString(8), uid, gid]
    })
    expect(shapes).toEqual([['755', BACKUP, BACKUP], ['755', BACKUP, BACKUP], ['755', BACKUP, BACKUP], ['660', BACKUP, BACKUP]])
    expect(statSync(server.lockFile('main', 'prod', LOCK)).size).toBe(0)
    // Nothing temporary is left beside them.
    expect(readdirSync(server.lockFile('main', 'prod'))).toEqual([LOCK])
    expect(readdirSync(server.lockFile('main'))).toEqual(['prod'])
    expect(readdirSync(server.runtimeDir)).toEqual(['locks'])
  })

  it('are not made by an ordinary user, who uses those that are there as far as that is allowed', async (context) => {
    skipWithout({ root: true }, context)
    setUp(BACKUP)
    for (const part of ['..', '.']) chmodSync(join(root, part), 0o755)
    const lockAs = (uid: number): string =>
      execFileSync(
        process.execPath,
        ['--input-type=module', '-e', LOCK_AS, path, JSON.stringify(place), JSON.stringify(snapshot)],
        { uid, gid: uid, encoding: 'utf8', cwd: process.cwd() },
      ).trim()
    expect(lockAs(65534)).toBe('EACCES')
    expect(readdirSync(server.runtimeDir)).toEqual([])
    expect(lockAs(BACKUP)).toBe('')
    expect(statSync(server.lockFile('main', 'prod', LOCK)).uid).toBe(BACKUP)
    expect(lockAs(65534)).toBe('EACCES')
  })
})

/** A server that destroys a snapshot of that name without end: lock, remove the file, give up the lock. */
const REMOVE_AGAIN_AND_AGAIN = `
import fcntl, os, sys
while True:
    try:
        fd = os.open(sys.argv[1], os.O_RDWR)
    except FileNotFoundError:
        continue
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_ino == os.stat(sys.argv[1]).st_ino:
            os.unlink(sys.argv[1])
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(fd)
`

/** Locks and prints the codes of the problems. */
const LOCK_AS = `
const [path, place, snapshot] = process.argv.slice(1)
const { openLocalDatastore } = await import('./dist/source/local-datastore.js')
const lock = await openLocalDatastore(path).lockSnapshot(JSON.parse(snapshot), JSON.parse(place))
console.log(lock.problems.map(({ code }) => code).join())
`

/** What this process has open below the test's folder. */
function openPaths(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`)
      return target.startsWith(root) ? [target] : []
    } catch {
      return []
    }
  })
}
