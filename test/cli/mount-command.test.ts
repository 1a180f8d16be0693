import { execFile } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, realpathSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import type { StatusDocument } from '#src/daemon/status.js'
import { exampleStore, repoDir } from '../support/golden.js'
import { describeWith } from '../support/needs.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const program = join(repoDir, 'bin/pbsfs.js')
const folder = realpathSync(temporaryFolder())
const mountpoint = join(folder, 'mnt')

interface Result {
  readonly code: number
  readonly out: string
  readonly err: string
}

function runProgram(file: string, args: readonly string[]): Promise<Result> {
  return new Promise((resolve) => {
    const child = execFile(file, args, { cwd: folder, timeout: 30_000 }, (_error, out, err) => {
      resolve({ code: child.exitCode ?? -1, out, err })
    })
  })
}

const pbsfs = (...args: string[]) => runProgram(process.execPath, [program, ...args])

describeWith({ fuse: true }, 'the program', () => {
  afterAll(async () => {
    if (existsSync(join(mountpoint, 'host'))) await pbsfs('umount', '--lazy', mountpoint)
  })

  test('mounts the example, shows it, leaves it', async () => {
    const mounted = await pbsfs('mount', exampleStore, 'mnt')
    expect(mounted).toEqual({ code: 0, out: `mounted at ${mountpoint}\nleave it with: pbsfs umount ${mountpoint}\n`, err: '' })
    expect(readdirSync(mountpoint)).toContain('host')

    expect((await pbsfs('umount')).out).toContain(`pbsfs umount ${mountpoint}`)
    const document = JSON.parse((await pbsfs('status', '--json', 'mnt/')).out) as StatusDocument
    expect(document.version).toBe(1)
    expect(document.mounts).toMatchObject([{ mountpoint, state: 'running', source: exampleStore, driver: 'kernel' }])
    expect(document.mounts[0]!.session!.cache.limitBytes).toBeGreaterThan(0)
    expect((await pbsfs('status')).out).toContain(mountpoint)

    const again = await pbsfs('mount', exampleStore, 'mnt')
    expect(again).toMatchObject({ code: 2, out: '' })
    expect(again.err).toContain('is a mount already')

    expect(await pbsfs('unmount', 'mnt/')).toEqual({ code: 0, out: `unmounted ${mountpoint}\n`, err: '' })
    expect(existsSync(mountpoint)).toBe(false)
    expect((await pbsfs('umount', 'mnt')).code).toBe(2)
  })

  test.each([
    ['a part of it', [`${exampleStore}::host/web/latest`, mountpoint]],
    ['a line of the vendor', ['host/web', 'root.pxar.didx', mountpoint, '--repository', exampleStore]],
    ['behind --', ['--', exampleStore, mountpoint]],
    ['options of all kinds', ['-v', '-o', 'umask=022,cache-size=64M', exampleStore, '--decoders=1', mountpoint]],
  ])('%s', async (_, args) => {
    expect(await pbsfs('mount', ...args)).toMatchObject({ code: 0, err: '' })
    expect(readdirSync(mountpoint).length).toBeGreaterThan(0)
    expect(await pbsfs('umount', mountpoint)).toMatchObject({ code: 0, err: '' })
  })

  test('says what a person should know of the mount', async () => {
    const store = join(folder, 'cache of a bucket')
    cpSync(exampleStore, store, { recursive: true })
    const [prefix] = readdirSync(join(store, '.chunks')).filter((name) => /^[0-9a-f]{4}$/.test(name)).sort()
    writeFileSync(join(store, '.chunks', prefix!, `${prefix!.padEnd(64, '0')}.using`), '')
    const spaced = join(folder, 'a mount')
    const mounted = await pbsfs('mount', store, spaced)
    expect(mounted).toMatchObject({ code: 0, out: `mounted at ${spaced}\nleave it with: pbsfs umount '${spaced}'\n` })
    expect(mounted.err).toMatch(/^pbsfs: This is the local cache folder of a datastore in an S3 bucket[^\n]*\n$/)
    const again = await pbsfs('mount', store, spaced)
    expect(again.err).toContain(`Leave it with: pbsfs umount '${spaced}'`)
    expect((await pbsfs('umount', spaced)).code).toBe(0)
  })

  test('in the foreground until it is told to end', async () => {
    const child = execFile(process.execPath, [program, 'mount', '-f', exampleStore, mountpoint])
    const texts = { out: '', err: '' }
    child.stderr!.on('data', (text) => (texts.err += text))
    await new Promise<void>((resolve) => {
      child.stdout!.on('data', (text) => {
        texts.out += text
        if (texts.out.includes('leave it with')) resolve()
      })
    })
    expect(readdirSync(mountpoint)).toContain('host')
    const exit = new Promise((resolve) => child.on('exit', (code, signal) => resolve(code ?? signal)))
    child.kill('SIGINT')
    expect(await exit).toBe(0)
    expect(texts.err).toContain('info mounted')
    expect(existsSync(mountpoint)).toBe(false)
  })

  test.each([
    [['mount', '/nowhere', mountpoint], 4, '/nowhere'],
    [['mount', folder, mountpoint], 4, 'not a datastore'],
    [['mount', `${exampleStore}::host/nothing`, mountpoint], 4, 'nothing'],
    [['mount', `${exampleStore}::wrong`, mountpoint], 2, 'wrong'],
    [['mount', exampleStore, join(exampleStore, 'mnt')], 2, 'lies in the source'],
    [['mount', exampleStore, mountpoint, '-o', 'frob'], 2, 'frob'],
  ])('%j', async (args, code, message) => {
    const result = await pbsfs(...args)
    expect(result).toMatchObject({ code, out: '' })
    expect(result.err).toContain(message)
    expect(result.err).not.toContain('fault of pbsfs')
    expect(existsSync(mountpoint)).toBe(false)
  })
})

describeWith({ fuse: true, root: true, programs: { 'mount.fuse3': 'fuse3', mount: 'mount' } }, 'mount(8)', () => {
  test('mount -t fuse PROGRAM#SOURCE, as for a line of fstab', async () => {
    // mount(8) gives its helper a PATH of its own, so the program is named in full.
    const bin = join(folder, 'bin')
    mkdirSync(bin)
    mkdirSync(mountpoint)
    writeFileSync(join(bin, 'pbsfs'), `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`)
    chmodSync(join(bin, 'pbsfs'), 0o755)
    const mounted = await runProgram('mount', ['-t', 'fuse', `${join(bin, 'pbsfs')}#${exampleStore}`, mountpoint, '-o', 'ro,nofail,decoders=1'])
    expect(mounted).toMatchObject({ code: 0, err: '' })
    expect(readdirSync(mountpoint)).toContain('host')
    expect((await runProgram('umount', [mountpoint])).code).toBe(0)
    expect(existsSync(mountpoint)).toBe(true)
  })
})
