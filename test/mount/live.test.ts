import { spawn, type ChildProcess } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { decodeBlobFile } from '#src/blob/decode.js'
import { encodeBlob } from '../support/datastore-writer.js'
import { exampleStore } from '../support/golden.js'
import { MountRig, waitUntil } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { runProgram } from '../support/run-program.js'

/** What is promised is a second; the rest is for a machine that is busy with other tests. */
const SOON_MS = 1_500

const OLD = '2026-01-02T00:00:00Z'
const NEW = '2026-02-01T00:00:00Z'

let rig: MountRig
let store: string
let mounted: string
const watchers: ChildProcess[] = []

beforeEach(async () => {
  rig = new MountRig()
  store = rig.at('store')
  cpSync(exampleStore, store, { recursive: true })
  mounted = (await rig.mount(store)).path
})
afterEach(async () => {
  for (const child of watchers.splice(0)) child.kill('SIGKILL')
  await rig.cleanUp()
})

const inStore = (...names: string[]) => join(store, ...names)
const inMount = (...names: string[]) => join(mounted, ...names)
const group = (folder = mounted) => join(folder, 'host/web')
const exists = (path: string) => statSync(path, { throwIfNoEntry: false }) !== undefined
const soon = (condition: () => boolean | Promise<boolean>, what: string) => waitUntil(condition, SOON_MS, what)

/** A snapshot the way the server makes one: folder and files first, the manifest last, by rename. */
function addSnapshot(name: string, from = OLD): void {
  startSnapshot(name, from)
  finishSnapshot(name, from)
}

function startSnapshot(name: string, from = OLD): void {
  const folder = join(group(store), name)
  mkdirSync(folder)
  for (const file of readdirSync(join(group(store), from))) {
    if (file !== 'index.json.blob') cpSync(join(group(store), from, file), join(folder, file))
  }
}

function finishSnapshot(name: string, from = OLD): void {
  const folder = join(group(store), name)
  cpSync(join(group(store), from, 'index.json.blob'), join(folder, 'index.json.tmp'))
  renameSync(join(folder, 'index.json.tmp'), join(folder, 'index.json.blob'))
}

function replaceFile(path: string, bytes: Uint8Array): void {
  writeFileSync(`${path}.tmp`, bytes)
  renameSync(`${path}.tmp`, path)
}

async function xattr(path: string, name: string): Promise<string | undefined> {
  const { code, out } = await runProgram('getfattr', ['--only-values', '--absolute-names', '-n', name, path])
  return code === 0 ? out : undefined
}

/** A process that stays in a folder and tells each time what `.` lists. */
function watchFrom(cwd: string): () => string[] {
  const script = 'setInterval(() => console.log(JSON.stringify(fs.readdirSync("."))), 20)'
  const child = spawn(process.execPath, ['-e', script], { cwd, stdio: ['ignore', 'pipe', 'inherit'] })
  watchers.push(child)
  let seen: string[] = []
  let rest = ''
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n')
    rest = lines.pop()!
    if (lines.length > 0) seen = JSON.parse(lines.at(-1)!) as string[]
  })
  return () => seen
}

describeWith({ fuse: true }, 'a mount follows the store', () => {
  it('a new snapshot appears, `latest` is that one, and it can be read', async () => {
    const before = readdirSync(group())
    expect(readlinkSync(inMount('host/web/latest'))).toBe('2026-01-03T00:00:00Z')
    addSnapshot(NEW)
    await soon(() => readdirSync(group()).includes(NEW), 'the new snapshot in ls')
    expect(readdirSync(group()).sort()).toEqual([...before, NEW].sort())
    await soon(() => readlinkSync(inMount('host/web/latest')) === NEW, 'latest on the new snapshot')
    expect(readFileSync(inMount('host/web/latest/root.pxar/etc/hostname'), 'latin1')).toBe(
      readFileSync(inMount('host/web', OLD, 'root.pxar/etc/hostname'), 'latin1'),
    )
  })

  it('a process that stays in the group sees snapshots come and go in "."', async () => {
    const seen = watchFrom(group())
    await waitUntil(() => seen().includes(OLD), 10_000, 'the first listing')
    addSnapshot(NEW)
    await soon(() => seen().includes(NEW), 'the new snapshot in "."')
    rmSync(join(group(store), NEW), { recursive: true })
    await soon(() => !seen().includes(NEW), 'the removed snapshot gone from "."')
    expect(seen()).toContain(OLD)
  })

  it('an unfinished snapshot is not there until its manifest is', async () => {
    startSnapshot(NEW)
    const seen = watchFrom(group())
    await waitUntil(() => seen().includes(OLD), 10_000, 'the first listing')
    for (let i = 0; i < 15; i++) {
      expect(readdirSync(group())).not.toContain(NEW)
      expect(exists(join(group(), NEW))).toBe(false)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    finishSnapshot(NEW)
    // The folder of the group has not changed: nothing but the manifest tells.
    await soon(() => exists(join(group(), NEW)), 'the finished snapshot by name')
    await soon(() => readdirSync(group()).includes(NEW), 'the finished snapshot in ls')
    await soon(() => seen().includes(NEW), 'the finished snapshot in "."')
  })

  it('a removed snapshot vanishes, also for who has used it', async () => {
    addSnapshot(NEW)
    const file = join(group(), NEW, 'root.pxar/etc/hosts')
    await soon(() => exists(file), 'a file of the new snapshot')
    readFileSync(file)
    rmSync(join(group(store), NEW), { recursive: true })
    await soon(() => !readdirSync(group()).includes(NEW), 'the removed snapshot gone from ls')
    await soon(() => !exists(join(group(), NEW)), 'its name gone')
    expect(exists(file)).toBe(false)
    await soon(() => readlinkSync(inMount('host/web/latest')) === '2026-01-03T00:00:00Z', 'latest on the one before')
  })

  it('a name that was missing is not remembered as missing', async () => {
    const path = join(group(), NEW)
    for (let i = 0; i < 20; i++) expect(exists(path)).toBe(false)
    addSnapshot(NEW)
    await soon(() => exists(path), 'the name that was missing')
  })

  it('a snapshot that was replaced under its name shows what it holds now', async () => {
    const first = '2026-01-01T00:00:00Z'
    addSnapshot(NEW)
    const letter = join(group(), NEW, 'root.pxar/home/anna/letters/2025-12-31.txt')
    await soon(() => exists(join(group(), NEW, 'root.pxar/etc')), 'the new snapshot')
    expect(exists(letter)).toBe(false)
    rmSync(join(group(store), NEW), { recursive: true })
    addSnapshot(NEW, first)
    await soon(() => exists(letter), 'a file that only the replacement has')
    expect(readFileSync(letter, 'latin1')).toBe(readFileSync(join(group(), first, 'root.pxar/home/anna/letters/2025-12-31.txt'), 'latin1'))
    expect(readdirSync(join(group(), NEW))).toContain('catalog.pcat1')
  })

  it('new groups, types and namespaces appear', async () => {
    expect(readdirSync(mounted)).not.toContain('ct')
    expect(exists(inMount('ns/offsite/ns/deep'))).toBe(false)
    cpSync(inStore('host/web'), inStore('ct/200'), { recursive: true })
    cpSync(inStore('host/web'), inStore('host/other'), { recursive: true })
    cpSync(inStore('host'), inStore('ns/offsite/ns/deep/host'), { recursive: true })
    await soon(() => readdirSync(mounted).includes('ct'), 'a new type')
    await soon(() => readdirSync(inMount('host')).includes('other'), 'a new group')
    await soon(() => exists(inMount('ns/offsite/ns/deep/host/web/latest/root.pxar/etc')), 'a new namespace')
    await soon(() => exists(inMount('ct/200/latest/root.pxar/etc/hosts')), 'a file in a new type')
  })
})

describeWith({ fuse: true, programs: { getfattr: 'attr' } }, 'what the server changes in a snapshot is seen', () => {
  const snapshot = () => join(group(), OLD)
  const manifestPath = () => join(group(store), OLD, 'index.json.blob')
  const manifest = () =>
    JSON.parse(Buffer.from(decodeBlobFile(readFileSync(manifestPath()), 'index.json.blob')).toString()) as { unprotected: Record<string, unknown> }

  it('notes and verification: in index.json and in the xattrs', async () => {
    const before = readFileSync(join(snapshot(), 'index.json'), 'utf8')
    expect(before).not.toContain('a note for later')
    expect(await xattr(snapshot(), 'user.pbs.notes')).toBeUndefined()
    const changed = manifest()
    changed.unprotected = { ...changed.unprotected, notes: 'a note for later', verify_state: { state: 'ok', upid: 'UPID:x:' } }
    const json = JSON.stringify(changed)
    replaceFile(manifestPath(), encodeBlob(Buffer.from(json), 'zstd'))
    await soon(() => readFileSync(join(snapshot(), 'index.json'), 'utf8') === json, 'the changed index.json')
    await soon(async () => (await xattr(snapshot(), 'user.pbs.notes')) === 'a note for later', 'the notes')
    expect(await xattr(snapshot(), 'user.pbs.verify')).toBe('ok')
    expect(statSync(join(snapshot(), 'index.json')).size).toBe(json.length)
  })

  it('protection', async () => {
    expect(await xattr(snapshot(), 'user.pbs.protected')).toBe('0')
    writeFileSync(join(group(store), OLD, '.protected'), '')
    await soon(async () => (await xattr(snapshot(), 'user.pbs.protected')) === '1', 'the protection')
    rmSync(join(group(store), OLD, '.protected'))
    await soon(async () => (await xattr(snapshot(), 'user.pbs.protected')) === '0', 'the end of the protection')
  })

  it('a client.log that arrives after the backup, and one that is replaced', async () => {
    const log = join(snapshot(), 'client.log')
    const blob = join(group(store), OLD, 'client.log.blob')
    const seen = watchFrom(snapshot())
    await waitUntil(() => seen().includes('root.pxar'), 10_000, 'the first listing')
    expect(exists(log)).toBe(false)
    replaceFile(blob, encodeBlob(Buffer.from('all went well\n'), 'zstd'))
    await soon(() => exists(log), 'the log by name')
    await soon(() => seen().includes('client.log'), 'the log in "."')
    expect(readFileSync(log, 'utf8')).toBe('all went well\n')
    replaceFile(blob, encodeBlob(Buffer.from('all went well, and more was said\n'), 'zstd'))
    await soon(() => readFileSync(log, 'utf8') === 'all went well, and more was said\n', 'the new log')
  })

  it('notes and owner of a group', async () => {
    expect(await xattr(group(), 'user.pbs.notes')).toBeUndefined()
    writeFileSync(join(group(store), 'notes'), 'web server\nin the cellar')
    await soon(async () => (await xattr(group(), 'user.pbs.notes')) === 'web server\nin the cellar', 'the notes of the group')
    replaceFile(join(group(store), 'owner'), Buffer.from('anna@pbs\n'))
    await soon(async () => (await xattr(group(), 'user.pbs.owner')) === 'anna@pbs', 'the owner')
    expect(await xattr(snapshot(), 'user.pbs.owner')).toBe('anna@pbs')
  })
})

describeWith({ fuse: true }, 'a store that is not all there', () => {
  const errors = () => readFileSync(inMount('.pbsfs/errors'), 'utf8')

  it('is an error, not an empty folder, when it was unmounted; .pbsfs says so; it comes back', async () => {
    renameSync(store, `${store}-gone`)
    mkdirSync(store)
    await soon(() => !canList(mounted), 'the root cannot be listed')
    expect(canList(inMount('host'))).toBe(false)
    expect(errors()).toContain(`${store}/.chunks: no longer there (unmounted or moved?)`)
    rmSync(store, { recursive: true })
    renameSync(`${store}-gone`, store)
    await soon(() => canList(mounted) && readdirSync(mounted).includes('host'), 'the store is back')
  })

  it('loses what is a symbolic link and nothing else, and names it', async () => {
    rmSync(inStore('ns'), { recursive: true })
    symlinkSync('/etc', inStore('ns'))
    symlinkSync('/etc', inStore('host/linked'))
    mkdirSync(inStore('host/\x1b[31m'))
    await soon(() => canList(mounted) && !readdirSync(mounted).includes('ns'), 'ns is not shown')
    expect(readdirSync(mounted)).toEqual(['host', 'vm'])
    expect(readdirSync(inMount('host'))).toEqual(['secret', 'web'])
    expect(errors()).toContain('ns: not shown: a symbolic link')
    expect(errors()).toContain('host/linked: not shown: a symbolic link')
    expect(errors()).toContain('host/\\x1b[31m: not shown: not a backup id')
    const count = errors().split('\n').length
    await new Promise((resolve) => setTimeout(resolve, 600))
    readdirSync(mounted)
    expect(errors().split('\n')).toHaveLength(count)
  })

  it('says that a manifest is that of another snapshot', async () => {
    replaceFile(inStore('host/web', OLD, 'index.json.blob'), readFileSync(inStore('host/web/2026-01-03T00:00:00Z/index.json.blob')))
    await soon(() => {
      readdirSync(inMount('host/web', OLD))
      return errors().includes(`the folder is ${OLD}`)
    }, 'the warning')
  })
})

function canList(folder: string): boolean {
  try {
    readdirSync(folder)
    return true
  } catch {
    return false
  }
}
