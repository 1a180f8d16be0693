import { spawn } from 'node:child_process'
import { appendFileSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, describe } from 'vitest'
import { main } from '#src/cli/main.js'
import { captureOutput } from '../support/captured-output.js'
import { noise } from '../support/chunk-rig.js'
import { DatastoreWriter, digestOf } from '../support/datastore-writer.js'
import { exampleStore, goldenDir, repoDir } from '../support/golden.js'
import { waitUntil } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { dir, encodeArchive, file, hardlink, symlink, type SourceNode } from '../support/pxar-encoder.js'
import { runOk, runProgram } from '../support/run-program.js'

const golden = goldenDir() ?? ''
const tricky = `${golden}/store::host/tricky`
const program = join(repoDir, 'bin/pbsfs.js')
const NOBODY = 65534
/** Of what hashes a file of 4.5 GB. */
const LONG_MS = 280_000
const TIME = '2026-01-01T00:00:00Z'

let folder: string
let target: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pbsfs-restore-'))
  target = join(folder, 'target')
  process.env['XDG_STATE_HOME'] = join(folder, 'state')
})
afterEach(async () => {
  delete process.env['XDG_STATE_HOME']
  // Node cannot remove paths that are longer than PATH_MAX.
  await runOk('chmod', ['-R', 'u+rwx', folder]).catch(() => undefined)
  await runOk('rm', ['-rf', folder])
})

async function run(...args: string[]) {
  const output = captureOutput()
  return { code: await main(args, output), ...output.texts }
}

async function restoreOk(source: string, to = target, ...options: string[]): Promise<string> {
  const { code, out, err } = await run('restore', source, to, ...options)
  expect({ code, err }).toEqual({ code: 0, err: '' })
  return out
}

/** Entries that differ from the truth of the golden data, as `compare.py` prints them. */
async function differences(truth: string, at = target): Promise<string> {
  const { out } = await runProgram('python3', [join(golden, 'compare.py'), at, join(golden, 'truth', truth)], { timeoutMs: LONG_MS })
  return out.trim().split('\n').slice(-12).join('\n')
}

function cut(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size))
}

/** A store with one split archive `root.pxar` in host/web. */
function writeStore(...children: SourceNode[]): string {
  const store = new DatastoreWriter(join(folder, 'store'))
  const { meta, payload } = encodeArchive(dir('', children, { perm: 0o755, mtimeSec: 1_000_000_000, mtimeNsec: 5 }), { split: true })
  const snapshot = store.snapshot({ type: 'host', id: 'web' }, TIME)
  snapshot.addStream('root.mpxar.didx', [meta])
  snapshot.addStream('root.ppxar.didx', cut(payload!, 1 << 20))
  snapshot.finish()
  return `${store.path}::host/web/latest/root.pxar`
}

/** Node's own recursive listing follows links. */
const temporaries = async (at: string) => runOk('find', [at, '-name', '.pbsfs-restore*'])

describeWith({ golden: true, root: true, programs: { python3: 'python3', zstd: 'zstd' } }, 'restored trees equal what was backed up', () => {
  it.each([
    ['classic', '2023-11-26T12:00:00Z', 'host-tricky-1'],
    ['split, with a payload of many snapshots', '2023-11-29T12:00:00Z', 'host-tricky-4'],
  ])('%s: owners, modes, times, ACLs, capabilities, links, devices, sparse files', { timeout: LONG_MS }, async (_kind, time, truth) => {
    await restoreOk(`${tricky}/${time}/root.pxar`)
    expect(await differences(`${truth}.jsonl.zst`)).toMatch(/^\d{4} entries, 0 differences$/)
    expect(await temporaries(target)).toBe('')
    // 4.5 GB of holes.
    expect(Number((await runOk('du', ['-sk', target])).split('\t')[0])).toBeLessThan(100_000)
  })

  it.each(['small.pxar', 'small.mpxar'])('%s, outside of a datastore, and read back', async (name) => {
    expect(await restoreOk(join(golden, 'archives', name), target, '--verify')).toMatch(/no difference/)
    expect(await differences('archives-small.jsonl.zst')).toMatch(/^\d+ entries, 0 differences$/)
  })

  it('encrypted', async () => {
    writeFileSync(join(folder, 'key'), readFileSync(join(golden, 'keys/plain.key')), { mode: 0o600 })
    await restoreOk(`${golden}/store::host/crypt/latest/root.pxar`, target, '--keyfile', join(folder, 'key'))
    expect(await differences('host-crypt.jsonl.zst')).toMatch(/^\d+ entries, 0 differences$/)
  })

  it('again: nothing is written; what is missing, shorter or of another time comes back, and nothing else is touched', async () => {
    const source = `${golden}/archives/small.mpxar`
    await restoreOk(source)
    expect(await restoreOk(source)).toMatch(/^restored nothing/)
    const { entries } = JSON.parse((await run('ls', source, '-R', '--json')).out) as { entries: { path: string; type: string; size: number; links: number }[] }
    const [one, two, three] = entries.filter(({ type, size, path, links }) => type === 'file' && links === 1 && size > 10 && /^[\w/.-]+$/.test(path)).map(({ path }) => join(target, path))
    rmSync(one!)
    truncateSync(two!, 10)
    appendFileSync(three!, 'more')
    writeFileSync(join(target, 'of-the-user'), 'x')
    expect(await restoreOk(source)).toMatch(/^restored 3 files/)
    expect(readFileSync(join(target, 'of-the-user'), 'utf8')).toBe('x')
    rmSync(join(target, 'of-the-user'))
    // The root's time is the archive's again only when nothing was changed behind the restore.
    await restoreOk(source)
    expect(await differences('archives-small.jsonl.zst')).toMatch(/^\d+ entries, 0 differences$/)
  })

  it('images: the same bytes, sparse; a snapshot: all that is in it', async () => {
    await restoreOk(`${golden}/store::vm/100/2023-12-09T12:00:00Z`)
    const truth = JSON.parse(`[${readFileSync(join(golden, 'truth/vm-100-1.jsonl'), 'utf8').trim().split('\n').join(',')}]`) as { image?: string; name?: string; size: number; sha256?: string }[]
    const images = readdirSync(target).filter((name) => name.endsWith('.img'))
    expect(images.length).toBe(6)
    for (const image of images) {
      const known = truth.find((entry) => JSON.stringify(entry).includes(image.replace('.img', '')) && entry.sha256 !== undefined)
      if (known === undefined || known.size > 1e9) continue
      expect((await runOk('sha256sum', [join(target, image)])).slice(0, 64)).toBe(known.sha256)
    }
    const sparse = statSync(join(target, 'drive-scsi3.img'))
    expect(sparse.size).toBe(24 * 2 ** 30)
    expect(sparse.blocks * 512).toBeLessThan(200e6)
    expect(readFileSync(join(target, 'qemu-server.conf'), 'utf8')).toMatch(/scsi0/)
    expect(readdirSync(target).some((name) => name.endsWith('.parts'))).toBe(false)
  })
})

describe('what a restore writes, and where', () => {
  it('a part of a tree: the folders on the way with their metadata, nothing beside it', async () => {
    const source = writeStore(
      dir('etc', [file('passwd', 'root'), dir('deep', [file('a.conf', 'A'), file('b.txt', 'B')], { perm: 0o711 })], { mtimeSec: 77 }),
      dir('var', [dir('log', [file('x.conf', 'X')]), file('y.conf', 'Y')]),
    )
    await restoreOk(source, target, '--pattern', '*.conf', '--exclude', '/var/log')
    const names = (readdirSync(target, { recursive: true }) as string[]).sort()
    expect(names).toEqual(['etc', 'etc/deep', 'etc/deep/a.conf', 'var', 'var/y.conf'])
    expect(statSync(join(target, 'etc')).mtimeMs).toBe(77_000)
    expect(statSync(join(target, 'etc/deep')).mode & 0o7777).toBe(0o711)
  })

  it('patterns that choose nothing: said, with what to do, and nothing is written', async () => {
    const { code, err } = await run('restore', writeStore(file('a', 'A')), target, '--pattern', 'b*')
    expect(code).toBe(2)
    expect(err).toMatch(/nothing in the backup is chosen by b\*\n {2}pbsfs find SOURCE/)
    expect(readdirSync(folder)).toEqual(['store'])
  })

  it('a folder of an archive, and one file of it: to a new name, into a folder, over another only with --overwrite', async () => {
    const source = writeStore(dir('etc', [file('hosts', 'localhost', { mtimeSec: 99 }), symlink('link', 'hosts')]))
    await restoreOk(`${source}:etc`)
    expect(readFileSync(join(target, 'hosts'), 'utf8')).toBe('localhost')
    mkdirSync(join(folder, 'into'))
    await restoreOk(`${source}:etc/hosts`, join(folder, 'into'))
    await restoreOk(`${source}:etc/hosts`, join(folder, 'into', 'other'))
    await restoreOk(`${source}:etc/link`, join(folder, 'into'))
    expect(readdirSync(join(folder, 'into')).sort()).toEqual(['hosts', 'link', 'other'])
    expect(statSync(join(folder, 'into/other')).mtimeMs).toBe(99_000)
    writeFileSync(join(folder, 'into/other'), 'mine')
    const refused = await run('restore', `${source}:etc/hosts`, join(folder, 'into', 'other'))
    expect(refused.code).toBe(1)
    expect(refused.err).toMatch(/other: left alone: something else is there; --overwrite replaces it/)
    expect(readFileSync(join(folder, 'into/other'), 'utf8')).toBe('mine')
    await restoreOk(`${source}:etc/hosts`, join(folder, 'into', 'other'), '--overwrite')
    expect(readFileSync(join(folder, 'into/other'), 'utf8')).toBe('localhost')
  })

  it('a folder with files of others: what is missing comes, what differs stays and is named, --overwrite replaces it, no folder is removed', async () => {
    const source = writeStore(file('a', 'A'), file('b', 'B'), file('c', 'C'), symlink('l', 'a'))
    mkdirSync(join(target, 'c'), { recursive: true })
    writeFileSync(join(target, 'b'), 'other')
    symlinkSync('elsewhere', join(target, 'l'))
    for (let again = 0; again < 2; again++) {
      const { code, err } = await run('restore', source, target)
      expect(code).toBe(1)
      expect(err).toMatch(/^pbsfs: b: left alone: something else is there/m)
      expect(err).toMatch(/^pbsfs: c: left alone: a folder is there, which is never removed/m)
    }
    expect([readFileSync(join(target, 'a'), 'utf8'), readFileSync(join(target, 'b'), 'utf8')]).toEqual(['A', 'other'])
    const { code, out } = await run('restore', source, target, '--overwrite')
    expect(code).toBe(1)
    expect(out).toMatch(/2 of them in place of something else/)
    expect(readFileSync(join(target, 'b'), 'utf8')).toBe('B')
    expect(lstatSync(join(target, 'c')).isDirectory()).toBe(true)
  })

  it('a dry run tells what would be written, and writes nothing', async () => {
    const source = writeStore(dir('d', [file('a', 'A')]), file('b', 'B'))
    expect(await restoreOk(source, target, '--dry-run')).toBe(`new      d\nnew      d/a\nnew      b\nwould restore 2 files, 1 folder (2 B) to ${target}\n`)
    expect(existsSync(target)).toBe(false)
    await restoreOk(source)
    rmSync(join(target, 'd/a'))
    writeFileSync(join(target, 'b'), 'changed')
    expect(await restoreOk(source, target, '-n')).toMatch(/^new {6}d\/a\nchanged {2}b\n/)
    expect(readFileSync(join(target, 'b'), 'utf8')).toBe('changed')
  })

  it('a dry run counts as the run does, conflicts included', async () => {
    const shared = file('first', 'shared')
    const source = writeStore(dir('d', [shared]), dir('in-the-way', [file('a', 'A')]), hardlink('second', shared, 'd/first'), symlink('l', 'd'), file('b', 'B'))
    mkdirSync(target)
    writeFileSync(join(target, 'in-the-way'), 'mine')
    writeFileSync(join(target, 'b'), 'mine')
    for (const options of [[], ['--overwrite']]) {
      const counts = async (...more: string[]): Promise<unknown> => {
        const document = JSON.parse((await run('restore', source, target, '--json', ...options, ...more)).out) as Record<string, unknown>
        return { ...document, dryRun: 0, seconds: 0 }
      }
      const planned = await counts('--dry-run')
      expect(planned).toEqual(await counts())
      expect(planned).toMatchObject({ conflicts: options.length === 0 ? 2 : 0, failed: 0 })
    }
  })

  it('links that lie in the target, or that the archive plants, are not followed', async () => {
    const outside = join(folder, 'outside')
    mkdirSync(outside)
    writeFileSync(join(outside, 'file'), 'mine')
    const source = writeStore(dir('folder', [file('file', 'theirs')]), file('name', 'theirs'), symlink('planted', outside), dir('planted', [file('file', 'theirs')]))
    mkdirSync(target)
    symlinkSync(outside, join(target, 'folder'))
    symlinkSync(join(outside, 'file'), join(target, 'name'))
    const first = await run('restore', source, target)
    expect(first.code).not.toBe(0)
    expect(first.err).toMatch(/^pbsfs: folder: left alone: something else is there; --overwrite replaces it$/m)
    expect(first.err).toMatch(/^pbsfs: [23] left alone because something else was there$/m)
    expect(first.err).not.toMatch(/could not be restored/)
    await run('restore', source, target, '--overwrite')
    expect(readdirSync(outside)).toEqual(['file'])
    expect(readFileSync(join(outside, 'file'), 'utf8')).toBe('mine')
    expect(lstatSync(join(target, 'folder')).isDirectory()).toBe(true)
    expect(readFileSync(join(target, 'name'), 'utf8')).toBe('theirs')
  })

  it('paths longer than PATH_MAX, and folders deeper than files may be open', async () => {
    const name = 'n'.repeat(60)
    let long: SourceNode = file('end', 'deep')
    for (let i = 0; i < 320; i++) long = dir(`${name}${i % 10}`, [long, file('beside', String(i))])
    const source = writeStore(long)
    expect(await restoreOk(source, target, '--verify')).toMatch(/compared 321 files .*: no difference/)
    expect(await restoreOk(source)).toMatch(/321 were there already/)
  })

  it('hard links are links again, also when only one name is chosen', async () => {
    const first = file('first', 'shared')
    const source = writeStore(dir('a', [first]), dir('b', [hardlink('second', first, 'a/first')]))
    await restoreOk(source)
    expect(statSync(join(target, 'a/first')).ino).toBe(statSync(join(target, 'b/second')).ino)
    await restoreOk(source, join(folder, 'one'), '--pattern', 'second')
    expect(readFileSync(join(folder, 'one/b/second'), 'utf8')).toBe('shared')
    rmSync(join(target, 'b/second'))
    writeFileSync(join(target, 'b/second'), 'shared')
    utimesSync(join(target, 'b/second'), 0, 0)
    await restoreOk(source)
    expect(statSync(join(target, 'a/first')).ino).toBe(statSync(join(target, 'b/second')).ino)
  })

  it('lost chunks cost the files in them, by name; everything else is restored; zeros on request', async () => {
    const store = new DatastoreWriter(join(folder, 'store'))
    const { meta, payload } = encodeArchive(dir('', [file('a', noise(40_000, 1)), file('b', noise(40_000, 2)), file('c', noise(40_000, 3))]), { split: true })
    const pieces = [payload!.subarray(0, 50_000), payload!.subarray(50_000, 70_000), payload!.subarray(70_000)]
    const snapshot = store.snapshot({ type: 'host', id: 'web' }, TIME)
    snapshot.addStream('root.mpxar.didx', [meta])
    snapshot.addStream('root.ppxar.didx', pieces)
    snapshot.finish()
    rmSync(store.chunkPath(digestOf(pieces[1]!)))
    const source = `${store.path}::host/web/latest/root.pxar`
    const { code, err } = await run('restore', source, target)
    expect(code).toBe(3)
    expect(err).toMatch(/^pbsfs: b: .*chunk/m)
    expect(readdirSync(target)).toEqual(['a', 'c'])
    const zeros = await run('restore', source, target, '--damaged', 'zero')
    expect(zeros.code).toBe(3)
    expect(zeros.err).toMatch(/^pbsfs: b: \d+ bytes are lost, zeros are in their place$/m)
    expect(zeros.err).not.toMatch(/^pbsfs: [ac]: /m)
    expect(statSync(join(target, 'b')).size).toBe(40_000)
    expect(readFileSync(join(target, 'b')).subarray(0, 1000).equals(noise(40_000, 2).subarray(0, 1000))).toBe(true)
  })

  it('--verify finds what differs', async () => {
    const source = writeStore(file('a', noise(100_000, 5), { mtimeSec: 1000 }), file('b', 'B'), symlink('l', 'x'))
    await restoreOk(source)
    const bytes = readFileSync(join(target, 'a'))
    bytes[70_000]! ^= 1
    writeFileSync(join(target, 'a'), bytes)
    utimesSync(join(target, 'a'), 1000, 1000)
    const { code, out, err } = await run('restore', source, target, '--verify')
    expect(code).toBe(3)
    expect(out).toMatch(/compared 1 files .*: 1 differ/)
    expect(err).toMatch(/^pbsfs: a: its contents differ from the backup/m)
  })

  it('never into a datastore, nor where another restore is writing; a missing folder above is named', async () => {
    const source = writeStore(file('a', 'A'))
    const inside = await run('restore', source, join(folder, 'store/host/new'))
    expect(inside.code).toBe(2)
    expect(inside.err).toMatch(/lies in the datastore .*, which is never written to/)
    const away = await run('restore', source, join(folder, 'not/there'))
    expect(away.code).toBe(2)
    expect(away.err).toMatch(/the folder above does not exist/)
    expect(readdirSync(folder).sort()).toEqual(['store'])
  })

  it("the vendor's form", async () => {
    writeStore(file('a', 'A'))
    const { code } = await run('restore', 'host/web', 'root.mpxar', target, '--repository', join(folder, 'store'))
    expect(code).toBe(0)
    expect(readFileSync(join(target, 'a'), 'utf8')).toBe('A')
  })

  it('--json: what was done', async () => {
    const { out } = await run('restore', `${exampleStore}::host/web/2026-01-01T00:00:00Z/root.pxar`, target, '--json', '--ignore-ownership')
    expect(JSON.parse(out)).toMatchObject({ version: 1, target, dryRun: false, kept: 0, failed: 0, verified: null })
  })
})

describe('a restore that is cut off', () => {
  const contents = Array.from({ length: 10 }, (_, i) => noise(20_000, i))
  const source = () => writeStore(...Array.from({ length: 3000 }, (_, i) => file(`f${i}`, contents[i % 10], { mtimeSec: i })))

  /** Starts one, and ends it with a signal when it has restored some files. */
  async function cutOff(from: string, signal: NodeJS.Signals): Promise<{ code: number | null; err: string }> {
    const child = spawn(process.execPath, [program, 'restore', from, target], { stdio: ['ignore', 'ignore', 'pipe'] })
    let err = ''
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
    await waitUntil(() => existsSync(target) && readdirSync(target).length > 50, 20_000)
    child.kill(signal)
    return { code: await ended, err }
  }

  it('SIGINT: nothing half-written has a final name; the same command goes on', async () => {
    const from = source()
    const { code, err } = await cutOff(from, 'SIGINT')
    expect(code).toBe(1)
    expect(err).toMatch(/interrupted; what is complete is in its place, and the same command goes on from there/)
    expect(await temporaries(target)).toBe('')
    for (const name of readdirSync(target)) expect(statSync(join(target, name))).toMatchObject({ size: 20_000, mtimeMs: Number(name.slice(1)) * 1000 })
    const out = await restoreOk(from, target, '--verify')
    expect(Number(/(\d+) were there already/.exec(out)?.[1])).toBeGreaterThan(50)
    expect(out).toMatch(/compared 3000 files .*: no difference/)
  })

  it('killed: what it has left is gone after the next run', async () => {
    const from = source()
    await cutOff(from, 'SIGKILL')
    writeFileSync(join(target, '.pbsfs-restore.0123456789abcdef'), 'half')
    expect(await restoreOk(from, target, '--verify')).toMatch(/compared 3000 files .*: no difference/)
    expect(await temporaries(target)).toBe('')
    expect(readdirSync(target).length).toBe(3000)
  })
})

describeWith({ root: true }, 'an ordinary user', () => {
  it('restores what he may, and is told what he could not set; no setuid program of his own comes of it', async () => {
    const source = writeStore(
      file('suid', 'x', { perm: 0o4755, uid: 0, gid: 0 }),
      dir('closed', [file('f', 'F', { perm: 0o400 })], { perm: 0o500, uid: 0 }),
      { kind: 'char', name: Buffer.from('null'), major: 1, minor: 3 },
      { kind: 'fifo', name: Buffer.from('pipe') },
      file('unreadable', 'U', { perm: 0 }),
      file('other', 'O', { perm: 0o4044 }),
    )
    await runOk('chmod', ['-R', 'a+rX', folder])
    await runOk('chmod', ['777', folder])
    const restore = (...options: string[]) => runProgram(process.execPath, [program, 'restore', source, target, ...options], { uid: NOBODY, env: { XDG_STATE_HOME: join(folder, 'nobody') } })
    const { code, err } = await restore()
    expect(code).toBe(0)
    expect(err).toMatch(/the owner could not be set .*: \d/)
    expect(err).toMatch(/setuid and setgid bits left out, because the owner is another one: 2/)
    expect(err).toMatch(/devices left out, because only root may make them: 1/)
    expect(statSync(join(target, 'suid')).mode & 0o7777).toBe(0o755)
    expect(statSync(join(target, 'closed')).mode & 0o7777).toBe(0o500)
    expect(readdirSync(target).sort()).toEqual(['closed', 'other', 'pipe', 'suid', 'unreadable'])
    // What he may not have is no difference either.
    const verified = await restore('--verify')
    expect(verified).toMatchObject({ code: 0, out: expect.stringMatching(/compared 4 files .*: no difference/) as string })
    expect(statSync(join(target, 'unreadable')).mode & 0o7777).toBe(0)
    expect(statSync(join(target, 'other')).mode & 0o7777).toBe(0o044)
    // A second run gets into the folder that the first one has closed.
    rmSync(join(target, 'closed/f'))
    expect((await restore()).code).toBe(0)
    expect(readFileSync(join(target, 'closed/f'), 'utf8')).toBe('F')
    expect(statSync(join(target, 'closed')).mode & 0o7777).toBe(0o500)
  })

  it('as root with --ignore-ownership: no setuid root out of a setuid of somebody', async () => {
    const source = writeStore(file('suid', 'x', { perm: 0o4755, uid: 1000 }))
    const { err } = await run('restore', source, target, '--ignore-ownership')
    expect(err).toMatch(/setuid and setgid bits left out/)
    expect(statSync(join(target, 'suid'))).toMatchObject({ uid: 0, mode: 0o100755 })
  })

  it('an ACL that the folder above passes on is not inherited', async () => {
    await runOk('setfacl', ['-d', '-m', 'u:1234:rwx', folder])
    const source = writeStore(dir('d', [file('f', 'F', { perm: 0o640 })], { perm: 0o750 }))
    await restoreOk(source)
    expect(await runOk('getfacl', ['-Rcps', target])).toBe('')
    expect(statSync(join(target, 'd')).mode & 0o7777).toBe(0o750)
  })
})

describeWith({ root: true, programs: { 'mkfs.ext4': 'e2fsprogs', losetup: 'mount' } }, 'other targets', () => {
  /** Mounts `what` on a folder for the time of `use`. */
  async function mounted(args: string[], use: (at: string) => Promise<void>): Promise<void> {
    const at = join(folder, 'mounted')
    mkdirSync(at)
    await runOk('mount', [...args, at])
    try {
      await use(at)
    } finally {
      await runOk('umount', [at])
    }
  }

  it('a full disk: says so and what to do; goes on from there when there is room', async () => {
    const source = writeStore(...Array.from({ length: 20 }, (_, i) => file(`f${i}`, noise(100_000, i))))
    await mounted(['-t', 'tmpfs', '-o', 'size=1m', 'none'], async (at) => {
      const { code, err } = await run('restore', source, join(at, 't'))
      expect(code).toBe(1)
      expect(err).toMatch(/no space is left \(ENOSPC\)\n.*Free space there, or inodes \(df -i\)\. Then run the same command again: it goes on where it stopped\./s)
      expect(await temporaries(at)).toBe('')
      await runOk('mount', ['-o', 'remount,size=10m', at])
      expect(await restoreOk(source, join(at, 't'), '--verify')).toMatch(/were there already/)
    })
  })

  it('a read-only disk', async () => {
    const source = writeStore(file('a', 'A'))
    await mounted(['-t', 'tmpfs', '-o', 'ro', 'none'], async (at) => {
      const { code, err } = await run('restore', source, join(at, 't'))
      expect(code).toBe(1)
      expect(err).toMatch(/mounted read-only \(EROFS\)/)
    })
  })

  it('a file system that keeps whole seconds: a second run finds everything there, and what changed since', async () => {
    const source = writeStore(file('a', 'A', { mtimeSec: 1_700_000_000, mtimeNsec: 5 }), file('b', 'B', { mtimeSec: 1_700_000_001, mtimeNsec: 999_999_999 }))
    await runOk('truncate', ['-s', '20M', join(folder, 'disk')])
    await runOk('mkfs.ext4', ['-q', '-I', '128', join(folder, 'disk')])
    await mounted(['-o', 'loop', join(folder, 'disk')], async (at) => {
      await restoreOk(source, join(at, 't'))
      expect(statSync(join(at, 't/b')).mtimeMs).toBe(1_700_000_001_000)
      expect(await restoreOk(source, join(at, 't'))).toMatch(/^restored nothing.*\n2 were there already/)
      utimesSync(join(at, 't/b'), 5, 5)
      expect(await restoreOk(source, join(at, 't'))).toMatch(/^restored 1 file /)
    })
  })

  it('a block device: only with --overwrite, never one that is in use or too small; what lies behind stays', async () => {
    const image = noise(300_000, 8)
    image.fill(0, 100_000, 200_000)
    const store = new DatastoreWriter(join(folder, 'store'))
    const snapshot = store.snapshot({ type: 'vm', id: '1' }, TIME)
    snapshot.addImage('drive.img.fidx', image, 65_536)
    snapshot.finish()
    const source = `${store.path}::vm/1/latest/drive.img`
    writeFileSync(join(folder, 'disk'), Buffer.alloc(512 * 1024, 0xee))
    const device = (await runOk('losetup', ['--find', '--show', join(folder, 'disk')])).trim()
    try {
      const asked = await run('restore', source, device)
      expect(asked.code).toBe(2)
      expect(asked.err).toMatch(/first 300000 bytes would be overwritten: give --overwrite/)
      expect(await restoreOk(source, device, '--overwrite', '--verify')).toMatch(/no difference/)
    } finally {
      await runOk('losetup', ['-d', device])
    }
    const written = readFileSync(join(folder, 'disk'))
    expect(written.subarray(0, image.length).equals(image)).toBe(true)
    expect(written.subarray(image.length).every((byte) => byte === 0xee)).toBe(true)
    truncateSync(join(folder, 'disk'), 128 * 1024)
    const small = (await runOk('losetup', ['--find', '--show', join(folder, 'disk')])).trim()
    try {
      expect((await run('restore', source, small, '--overwrite')).err).toMatch(/has 131072 bytes, the image 300000; nothing was written/)
      await runOk('mkfs.ext4', ['-q', small])
      await mounted([small], async () => {
        expect((await run('restore', source, small, '--overwrite')).err).toMatch(/is mounted or in use; nothing was written/)
      })
    } finally {
      await runOk('losetup', ['-d', small])
    }
  })
})
