import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { noise } from '../support/chunk-rig.js'
import { DatastoreWriter } from '../support/datastore-writer.js'
import { MountRig, mountsBelow, waitUntil, type Mounted } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { dir, encodeArchive, file, type SourceNode } from '../support/pxar-encoder.js'
import { runOk } from '../support/run-program.js'

const DIRECTORIES = 8
const FILES = 250
const MAX_BYTES = 6000
const CHUNK = 256 * 1024

let rig: MountRig
let source: string

function sizeOf(d: number, f: number): number {
  return (d * 7919 + f * 104_729) % MAX_BYTES
}

/** A store with one split archive of many small files. */
function writeStore(path: string): void {
  const folders: SourceNode[] = []
  for (let d = 0; d < DIRECTORIES; d++) {
    const files: SourceNode[] = []
    for (let f = 0; f < FILES; f++) files.push(file(`f${String(f).padStart(4, '0')}`, noise(sizeOf(d, f), d * 1000 + f)))
    folders.push(dir(`d${d}`, files))
  }
  const { meta, payload } = encodeArchive(dir('', folders), { split: true })
  const store = new DatastoreWriter(path)
  const snapshot = store.snapshot({ type: 'host', id: 'many' }, '2026-01-01T00:00:00Z')
  const cut = (bytes: Buffer): Buffer[] => {
    const pieces: Buffer[] = []
    for (let at = 0; at < bytes.length; at += CHUNK) pieces.push(bytes.subarray(at, at + CHUNK))
    return pieces
  }
  snapshot.addStream('root.mpxar.didx', cut(meta))
  snapshot.addStream('root.ppxar.didx', cut(payload!))
  snapshot.finish()
}

/** Requests answered since the mount began. */
function requests(mounted: Mounted): number {
  const status = JSON.parse(readFileSync(join(mounted.path, '.pbsfs/status'), 'utf8')) as { requests: { total: number } }
  return status.requests.total
}

describeWith({ fuse: true, root: true, programs: { tar: 'tar' } }, 'many small files', () => {
  beforeAll(() => {
    rig = new MountRig()
    source = `${rig.at('store')}::host/many/latest/root.pxar`
    writeStore(rig.at('store'))
  })
  afterAll(() => rig.cleanUp())

  it('reading a tree in order takes far fewer requests than it has files, and every byte is right', async () => {
    const mounted = await rig.mount(source, { name: 'order' })
    mkdirSync(rig.at('out'))
    await runOk('sh', ['-c', `tar cf - -C '${mounted.path}' . | tar xf - -C '${rig.at('out')}'`])
    const count = requests(mounted)
    for (let d = 0; d < DIRECTORIES; d++) {
      for (let f = 0; f < FILES; f++) {
        const bytes = readFileSync(rig.at('out', `d${d}`, `f${String(f).padStart(4, '0')}`))
        expect(bytes.equals(noise(sizeOf(d, f), d * 1000 + f))).toBe(true)
      }
    }
    // A loaded machine pushes late, and then files are read one by one: not a third, but never all.
    expect(count).toBeLessThan(DIRECTORIES * FILES)
    await rig.umount(mounted)
  })

  it('copying a tree without attributes does not ask for those of every file', async () => {
    const mounted = await rig.mount(source, { name: 'plain' })
    await runOk('cp', ['-a', mounted.path, rig.at('copy')])
    // Each file is asked for three times by cp -a.
    expect(requests(mounted)).toBeLessThan(2 * DIRECTORIES * FILES)
    await rig.umount(mounted)
  })

  it('sees the same when the kernel has dropped its pages and the tree is read again', async () => {
    const mounted = await rig.mount(source, { name: 'again' })
    const sum = (): Promise<string> => runOk('sh', ['-c', `cd '${mounted.path}' && tar cf - . | sha256sum`])
    const first = await sum()
    writeFileSync('/proc/sys/vm/drop_caches', '1')
    expect(await sum()).toBe(first)
    await rig.umount(mounted)
  })

  it('a daemon that is killed while it pushes is gone, and the place can be used again', async () => {
    for (let round = 0; round < 6; round++) {
      const mounted = await rig.mount(source, { name: 'killed' })
      const reader = spawn('sh', ['-c', `cat '${mounted.path}'/d*/* > /dev/null 2>&1`], { stdio: 'ignore' })
      const ended = new Promise((resolve) => reader.on('exit', resolve))
      await new Promise((resolve) => setTimeout(resolve, 5 + round * 15))
      process.kill(mounted.pid, 'SIGKILL')
      await ended
      expect((await rig.pbsfs(['umount', mounted.path])).code).toBe(0)
      await waitUntil(() => mountsBelow(rig.folder).length === 0, 5000, 'the mount to be gone')
    }
  })
})
