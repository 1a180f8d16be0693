import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it, test } from 'vitest'
import { main } from '#src/cli/main.js'
import { openOverlay } from '#src/overlay/open-overlay.js'
import { captureOutput } from '../support/captured-output.js'
import { noise } from '../support/chunk-rig.js'
import { DatastoreWriter } from '../support/datastore-writer.js'
import { goldenDir, repoDir } from '../support/golden.js'
import { MemoryStream } from '../support/memory-stream.js'
import { nbdPrograms } from '../support/nbd-program.js'
import { describeWith, findProgram } from '../support/needs.js'
import { runOk } from '../support/run-program.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const CHUNK = 65_536
const TIME = '2026-01-01T00:00:00Z'
const folder = temporaryFolder()
const at = (name: string) => join(folder, name)
const image = noise(6 * CHUNK + 512, 3)
image.fill(0, 3 * CHUNK, 5 * CHUNK)

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const output = captureOutput()
  const code = await main(['overlay', ...args], output)
  return { code, ...output.texts }
}

function writeStore(name: string, drive: Buffer): { path: string; csum: string } {
  const store = new DatastoreWriter(at(name))
  const snapshot = store.snapshot({ type: 'vm', id: '100' }, TIME)
  snapshot.addImage('drive.img.fidx', drive, CHUNK)
  snapshot.finish()
  // SHA-256 over the digests, behind magic, uuid and time: what the manifest calls csum.
  return { path: store.path, csum: readFileSync(join(store.path, 'vm/100', TIME, 'drive.img.fidx')).toString('hex', 32, 64) }
}

const expected = Buffer.from(image)
expected.write('changed', 100)
expected.write('in a hole', 4 * CHUNK + 7)
expected.fill(0, CHUNK, 2 * CHUNK)

let store: string
let overlay: string

/** An overlay as a server or a mount leaves it. */
async function writeOverlay(name: string, identity: string): Promise<string> {
  const disk = await openOverlay(Buffer.from(at(name)), { size: image.length, identity, image: `vm/100/${TIME}/drive.img` }, new MemoryStream(image))
  await disk.write(Buffer.from('changed'), 100)
  await disk.write(Buffer.from('in a hole'), 4 * CHUNK + 7)
  await disk.zero(CHUNK, CHUNK)
  await disk.close()
  return at(name)
}

beforeAll(async () => {
  const written = writeStore('store', image)
  store = written.path
  overlay = await writeOverlay('overlay', written.csum)
})

/** The overlay and its map: a commit changes neither. */
const stateOf = (path: string) => Buffer.concat([readFileSync(path), readFileSync(`${path}.map`)])

describe('overlay commit', () => {
  it('raw: the backup with what was written, sparse, for its owner alone; the overlay is as it was', async () => {
    const before = stateOf(overlay)
    const { code, out, err } = await run('commit', overlay, store, at('raw'))
    expect([code, err]).toEqual([0, 'the overlay is still there; pbsfs overlay drop removes it\n'])
    expect(out).toContain(`wrote ${at('raw')} (raw, 385 KiB): vm/100/${TIME}/drive.img with what ${overlay} has of it`)
    expect(readFileSync(at('raw')).equals(expected)).toBe(true)
    expect(statSync(at('raw')).mode & 0o777).toBe(0o600)
    expect(statSync(at('raw')).blocks * 512).toBeLessThan(image.length)
    expect(stateOf(overlay).equals(before)).toBe(true)
  })

  it('the image named, the store by --repository, the map in place of the overlay, a folder as target', async () => {
    mkdirSync(at('into'))
    for (const args of [[overlay, `${store}::vm/100/latest/drive.img`, at('into')], [`${overlay}.map`, at('other'), '--repository', store]]) {
      expect((await run('commit', ...args)).code).toBe(0)
    }
    expect(readFileSync(at('into/drive.img')).equals(expected)).toBe(true)
    expect(readFileSync(at('other')).equals(expected)).toBe(true)
  })

  it('what is there is replaced only when asked', async () => {
    writeFileSync(at('there'), 'precious')
    expect(await run('commit', overlay, store, at('there'))).toMatchObject({ code: 2, err: expect.stringContaining('is there already') as string })
    expect(readFileSync(at('there'), 'utf8')).toBe('precious')
    const { code, out } = await run('commit', overlay, store, at('there'), '--overwrite', '--json')
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ version: 1, overlay, image: `vm/100/${TIME}/drive.img`, target: at('there'), format: 'raw', size: image.length })
    expect(readFileSync(at('there')).equals(expected)).toBe(true)
  })

  it.each([
    ['another backup in the place of its own', () => [overlay, writeStore('replaced', noise(image.length, 4)).path, at('no')], 2, /removed or replaced/],
    ['a place that has no such snapshot', () => [overlay, new DatastoreWriter(at('empty')).path, at('no')], 4, /no such|there is no/],
    ['what is no datastore', () => [overlay, repoDir, at('no')], 4, /not a datastore/],
    ['its own file as target', () => [overlay, store, overlay, '--overwrite'], 2, /belongs to an overlay/],
    ['its own map as target', () => [overlay, store, `${overlay}.map`, '--overwrite'], 2, /belongs to an overlay/],
    ['a target in a store', () => [overlay, store, join(store, 'disk')], 2, /never written to/],
    ['a target in no folder', () => [overlay, store, at('no/such')], 2, /the folder does not exist/],
    ['no overlay', () => [at('raw'), store, at('no')], 2, /is no overlay/],
    ['no target', () => [overlay, store], 2, /overlay commit FILE STORE TARGET/],
    ['a pipe', () => [overlay, store, '/dev/null'], 2, /neither a file, a folder nor a block device/],
  ])('%s is refused', async (_what, args, code, message) => {
    const before = stateOf(overlay)
    const result = await run('commit', ...args())
    expect(result.err).toMatch(message)
    expect(result.code).toBe(code)
    expect(existsSync(at('no'))).toBe(false)
    expect(stateOf(overlay).equals(before)).toBe(true)
  })

  it('a link to its own file as target becomes a file of its own', async () => {
    symlinkSync(overlay, at('link'))
    const before = stateOf(overlay)
    expect((await run('commit', overlay, store, at('link'), '--overwrite')).code).toBe(0)
    expect(lstatSync(at('link')).isFile() && readFileSync(at('link')).equals(expected)).toBe(true)
    expect(stateOf(overlay).equals(before)).toBe(true)
  })

  it('lost chunks: an error that names them and no disk; zeros when that is wanted, and it says so', async () => {
    cpSync(store, at('damaged'), { recursive: true })
    const digest = new DatastoreWriter(at('scratch')).addChunk(image.subarray(2 * CHUNK, 3 * CHUNK))
    const name = Buffer.from(digest).toString('hex')
    renameSync(join(at('damaged'), '.chunks', name.slice(0, 4), name), at('lost'))
    const refused = await run('commit', overlay, at('damaged'), at('rescued'))
    expect([refused.code, refused.err.includes(name), existsSync(at('rescued'))]).toEqual([3, true, false])
    const { code } = await run('commit', overlay, at('damaged'), at('rescued'), '--damaged', 'zero')
    expect(code).toBe(3)
    expect(readFileSync(at('rescued')).equals(Buffer.from(expected).fill(0, 2 * CHUNK, 3 * CHUNK))).toBe(true)
    if (findProgram('qemu-img') === undefined) return
    const converted = await run('commit', overlay, at('damaged'), at('rescued.qcow2'))
    expect([converted.code, converted.err.includes(name), existsSync(at('rescued.qcow2'))]).toEqual([3, true, false])
    expect(readdirSync(folder).filter((one) => one.startsWith('.pbsfs'))).toEqual([])
  })

  it('without qemu-img: names the package', async () => {
    const path = process.env['PATH']
    process.env['PATH'] = '/nonexistent'
    try {
      expect(await run('commit', overlay, store, at('no.qcow2'))).toMatchObject({ code: 1, err: expect.stringContaining('apt install qemu-utils') as string })
    } finally {
      process.env['PATH'] = path
    }
    expect(existsSync(at('no.qcow2'))).toBe(false)
  })

  it.each([['qcow2', 'SIGKILL'], ['raw', 'SIGKILL'], ['qcow2', 'SIGINT'], ['raw', 'SIGINT']] as const)('%s, ended with %s: no disk of that name, and the overlay is as it was', async (format, signal) => {
    const before = stateOf(overlay)
    const target = mkdirOf(`killed-${format}-${signal}`)
    // Stands in for a slow disk: qemu-img that never ends, or a store that never answers, is where a kill comes.
    const bin = mkdirOf(`bin-${format}-${signal}`)
    writeFileSync(join(bin, 'qemu-img'), '#!/bin/sh\necho begun > "$PBSFS_TEST_MARK"\nexec sleep 4\n')
    chmodSync(join(bin, 'qemu-img'), 0o755)
    const env = { ...process.env, PATH: `${bin}:${process.env['PATH']}`, PBSFS_TEST_MARK: join(bin, 'mark') }
    const child = spawn(process.execPath, [join(repoDir, 'bin/pbsfs.js'), 'overlay', 'commit', overlay, store, join(target, 'disk'), '--format', format], { env, stdio: 'ignore' })
    const ended = once(child, 'close')
    const isUnderWay = (): boolean => child.exitCode !== null || readdirSync(target).length > 0 && (format === 'raw' || existsSync(join(bin, 'mark'))) // prettier-ignore
    while (!isUnderWay()) await new Promise((resolve) => setTimeout(resolve, 1))
    child.kill(signal)
    await ended
    const left = readdirSync(target)
    // A raw disk of this size may be complete before the signal comes.
    if (format === 'raw' && left.includes('disk')) expect(readFileSync(join(target, 'disk')).equals(expected)).toBe(true)
    else expect(left.filter((name) => !name.startsWith('.pbsfs-restore.'))).toEqual([])
    if (signal === 'SIGINT') expect(left.filter((name) => name !== 'disk')).toEqual([])
    expect(stateOf(overlay).equals(before)).toBe(true)
    expect((await run('commit', overlay, store, join(target, 'disk'), '--overwrite')).code).toBe(0)
  })
})

function mkdirOf(name: string): string {
  mkdirSync(at(name))
  return at(name)
}

describe('overlay status and drop', () => {
  it('a folder: each overlay, what is wrong with one does not keep the others from being shown', async () => {
    const tree = mkdirOf('tree')
    for (const name of ['tree/a', 'tree/b', 'tree/c']) await writeOverlay(name, 'abc')
    writeFileSync(join(tree, 'other.map'), 'no map of ours')
    writeFileSync(join(tree, 'b.map'), readFileSync(join(tree, 'b.map')).fill(1, 40, 41))
    const { code, out, err } = await run('status', tree)
    expect(code).toBe(3)
    const row = (name: string) => `${join(tree, name)}  vm/100/${TIME}/drive.img  385 KiB  192 KiB  not in use, clean`
    expect(out.split('\n').slice(1)).toEqual([row('a'), row('c'), ''])
    expect(err).toContain('b.map: the map of the disk is damaged')
    const json = JSON.parse((await run('status', tree, '--json')).out) as { overlays: unknown[]; problems: unknown[] }
    expect(json.overlays).toHaveLength(2)
    expect(json.overlays[0]).toEqual({
      path: join(tree, 'a'), image: `vm/100/${TIME}/drive.img`, purpose: 'overlay', size: image.length, bytesWritten: 3 * CHUNK,
      bytesNotFlushed: 0, bytesLost: 0, clean: true, inUse: false, holder: null,
    }) // prettier-ignore
    expect(json.problems).toEqual([{ path: join(tree, 'b'), error: expect.stringContaining('damaged') as string }])
  })

  it('drop: those that are overlays go, the others are named', async () => {
    await writeOverlay('gone', 'abc')
    writeFileSync(at('file'), 'precious')
    const { code, out, err } = await run('drop', at('file'), at('gone'), folder)
    expect([code, out]).toEqual([2, `dropped ${at('gone')} of vm/100/${TIME}/drive.img; 192 KiB had been written\n`])
    expect(err).toMatch(/file is no overlay.*is a folder/s)
    expect([existsSync(at('gone')), existsSync(at('gone.map')), readFileSync(at('file'), 'utf8')]).toEqual([false, false, 'precious'])
  })

  test.each([
    [['status'], /overlay status FILE/],
    [['drop'], /overlay drop FILE/],
    [['drop', '/x', '--overwrite'], /belong to overlay commit/],
    [['status', '/nonexistent'], /is not there/],
    [['nothing'], /there are status, commit and drop/],
  ])('%j is refused', async (args, message) => {
    const { code, err } = await run(...args)
    expect(code).toBe(2)
    expect(err).toMatch(message)
  })

  it('an empty folder says so', async () => {
    expect(await run('status', mkdirOf('nothing'))).toMatchObject({ code: 0, out: 'no overlays here\n' })
  })
})

describeWith({ golden: true, programs: { 'qemu-img': 'qemu-utils', 'qemu-io': 'qemu-utils', nbdcopy: 'libnbd-bin' } }, 'overlay of a disk of the real server', () => {
  const golden = goldenDir() ?? ''
  const start = nbdPrograms()
  const real = join(golden, 'store')

  it('written to by qemu-io, commits to what its clients saw, raw and qcow2; while it is served it is in use', async () => {
    const server = await start([`${real}::vm/100/2023-12-11T12:00:00Z/drive-virtio0.img`, '--overlay', at('served')])
    const uri = `nbd+unix:///?socket=${server.socket}`
    await runOk('qemu-io', ['-f', 'raw', ...['write -P 0x77 1000 5000', 'write -z 1M 128k', 'discard 2M 1M', 'write -P 0x11 20M 64k', 'flush'].flatMap((one) => ['-c', one]), uri])
    await runOk('nbdcopy', [uri, at('seen')])
    expect((await run('commit', at('served'), real, at('busy'))).err).toMatch(`process ${server.child.pid} uses this overlay`)
    expect((await run('drop', at('served'))).code).toBe(4)
    expect((await run('status', at('served'))).out).toMatch(`in use by process ${server.child.pid}`)
    await server.end('SIGKILL')
    const before = stateOf(at('served'))
    expect((await run('commit', at('served'), real, at('committed.raw'))).code).toBe(0)
    expect(readFileSync(at('committed.raw')).equals(readFileSync(at('seen')))).toBe(true)
    expect((await run('commit', at('served'), real, at('committed.qcow2'))).out).toContain('(qcow2, 24.0 MiB)')
    expect(await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', at('seen'), at('committed.qcow2')])).toContain('Images are identical')
    expect(await runOk('qemu-img', ['check', at('committed.qcow2')])).toContain('No errors were found')
    expect(stateOf(at('served')).equals(before)).toBe(true)
    expect((await run('commit', at('served'), `${real}::vm/100/2023-12-10T12:00:00Z/drive-virtio0.img`, at('busy'))).err).toMatch(/belongs to another image: vm\/100\/2023-12-11.*, not vm\/100\/2023-12-10/)
    expect((await run('drop', at('served'))).code).toBe(0)
    expect(existsSync(at('busy'))).toBe(false)
  })

  it('an encrypted one, with its key', async () => {
    const key = ['--keyfile', join(golden, 'keys/plain.key')]
    const server = await start([`${real}::vm/101/latest/drive-scsi1.img`, '--overlay', at('secret'), ...key])
    await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 0x42 4096 512', '-c', 'flush', `nbd+unix:///?socket=${server.socket}`])
    await runOk('nbdcopy', [`nbd+unix:///?socket=${server.socket}`, at('seen-secret')])
    await server.end()
    expect((await run('commit', at('secret'), real, at('secret.raw'))).code).toBe(5)
    expect((await run('commit', at('secret'), real, at('secret.raw'), ...key)).code).toBe(0)
    expect(readFileSync(at('secret.raw')).equals(readFileSync(at('seen-secret')))).toBe(true)
  })
})
