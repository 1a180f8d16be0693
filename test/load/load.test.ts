import { createHash } from 'node:crypto'
import { spawn, type ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { noise } from '../support/chunk-rig.js'
import { DatastoreWriter } from '../support/datastore-writer.js'
import { isRunning, MountRig, mountsBelow, waitUntil } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { dir, encodeArchive, file } from '../support/pxar-encoder.js'
import { sh } from '../support/run-program.js'

const T = '2026-01-01T00:00:00Z'
const MiB = 1024 * 1024
const FILES = 300
const READERS = 32
/** How long the readers go round, in seconds. */
const SECONDS = Number(process.env['PBSFS_LOAD_SECONDS'] ?? 60)

let rig: MountRig
let store: DatastoreWriter
const children = new Set<ChildProcess>()
const image = Buffer.concat(Array.from({ length: 96 }, (_, i) => noise(MiB, 2 * i + 1)))
const contents = Array.from({ length: FILES }, (_, i) => noise(500 + 97 * i, 2 * i + 1))
const sha = (plain: Uint8Array) => createHash('sha256').update(plain).digest('hex')

beforeEach(() => {
  rig = new MountRig()
  store = new DatastoreWriter(rig.at('store'))
  const folders = Array.from({ length: 10 }, (_, d) =>
    dir(`d${d}`, contents.slice(d * 30, d * 30 + 30).map((plain, i) => file(`f${String(i).padStart(2, '0')}`, plain))),
  )
  const { meta, payload } = encodeArchive(dir('', folders), { split: true })
  const cut = (bytes: Buffer, size: number) => Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size))
  const snapshot = store.snapshot({ type: 'host', id: 'web' }, T)
  snapshot.addStream('root.mpxar.didx', cut(meta, 65_536))
  snapshot.addStream('root.ppxar.didx', cut(payload!, MiB))
  snapshot.addImage('drive.img.fidx', image, MiB)
  snapshot.finish()
})
afterEach(async () => {
  for (const child of children) killGroup(child)
  children.clear()
  await rig.cleanUp()
})

const place = (mounted: string) => join(mounted, 'host/web', T)
const descriptors = (pid: number) => readdirSync(`/proc/${pid}/fd`).length
const residentKiB = (pid: number) => Number(/^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1])

interface Status {
  readonly cache: { readonly usedBytes: number; readonly limitBytes: number }
  readonly requests: { readonly inFlight: number }
  readonly errors: { readonly count: number }
}
const statusOf = (mounted: string) => JSON.parse(readFileSync(join(mounted, '.pbsfs/status'), 'utf8')) as Status

/** Threads that start when they are first needed have descriptors of their own. */
async function startThreads(mounted: string): Promise<void> {
  const at = place(mounted)
  await sh(`find '${at}/root.pxar' -type f | sort | xargs cat > /dev/null; cat '${at}/drive.img' > /dev/null & cat '${at}/drive.img' > /dev/null; wait`)
  await waitUntil(() => statusOf(mounted).requests.inFlight <= 1, 10_000, 'the end of all requests')
}

/** Somebody who reads the image over and over, past the page cache. */
function startReader(mounted: string): ChildProcess {
  const line = 'while :; do dd if="$0" of=/dev/null bs=1M iflag=direct 2>/dev/null || exit 1; done'
  const child = spawn('sh', ['-c', line, join(place(mounted), 'drive.img')], { stdio: 'ignore', detached: true })
  children.add(child)
  return child
}

/** The shell and what it runs. */
function killGroup(child: ChildProcess): void {
  if (child.exitCode !== null || child.signalCode !== null) return
  process.kill(-child.pid!, 'SIGKILL')
}

const ended = (child: ChildProcess) =>
  new Promise<void>((resolve) => (child.exitCode !== null || child.signalCode !== null ? resolve() : child.once('exit', () => resolve())))

describeWith({ fuse: true }, 'load', () => {
  it('32 processes read, walk and open with a cache of 64 MiB: every byte right, nothing left over', async () => {
    const { path, pid } = await rig.mount(store.path, { args: ['--cache-size', '64M', '-o', 'max_read=131072'] })
    const at = place(path)
    await startThreads(path)
    const before = descriptors(pid)
    const wanted = contents.map((plain, i) => `${sha(plain)}  d${Math.floor(i / 30)}/f${String(i % 30).padStart(2, '0')}`).sort()
    const imageSum = sha(image)
    const end = performance.now() + SECONDS * 1000
    const jobs = Array.from({ length: READERS }, async (_, i) => {
      for (let round = 0; performance.now() < end; round++) {
        if (i % 4 === 0) {
          expect((await sh(`sha256sum '${at}/drive.img'`)).split(' ')[0]).toBe(imageSum)
        } else if (i % 4 === 1) {
          const sums = await sh(`cd '${at}/root.pxar' && find . -type f -print0 | sort -z | xargs -0 sha256sum`)
          expect(sums.trim().replaceAll('./', '').split('\n').sort()).toEqual(wanted)
        } else if (i % 4 === 2) {
          expect((await sh(`find '${path}' -ls`)).trim().split('\n').length).toBeGreaterThan(FILES)
        } else {
          const skip = (i * 7 + round * 13) % 90
          const sum = await sh(`dd if='${at}/drive.img' bs=1M skip=${skip} count=5 iflag=direct 2>/dev/null | sha256sum`)
          expect(sum.split(' ')[0]).toBe(sha(image.subarray(skip * MiB, (skip + 5) * MiB)))
        }
      }
    })
    await Promise.all(jobs)
    const status = statusOf(path)
    expect(status.cache.limitBytes).toBe(64 * MiB)
    expect(status.cache.usedBytes).toBeLessThanOrEqual(64 * MiB)
    expect(status.errors.count).toBe(0)
    expect(descriptors(pid)).toBeLessThanOrEqual(before + 1)
    // Cache, threads and code; what requests held is given back.
    expect(residentKiB(pid)).toBeLessThan(450 * 1024)
  }, SECONDS * 1000 + 120_000)

  it('a reader that is killed in the middle of a read leaves nothing behind', async () => {
    const { path, pid } = await rig.mount(store.path, { args: ['--cache-size', '64M'] })
    await startThreads(path)
    const before = descriptors(pid)
    for (let round = 0; round < 5; round++) {
      const readers = Array.from({ length: 8 }, () => startReader(path))
      await new Promise((resolve) => setTimeout(resolve, 60 + 40 * round))
      for (const reader of readers) killGroup(reader)
      await Promise.all(readers.map(ended))
    }
    await waitUntil(() => statusOf(path).requests.inFlight <= 1, 10_000, 'the end of all requests')
    expect(descriptors(pid)).toBeLessThanOrEqual(before + 1)
    expect((await sh(`sha256sum '${place(path)}/drive.img'`)).split(' ')[0]).toBe(sha(image))
    expect(statusOf(path).errors.count).toBe(0)
  })

  it('a daemon that is killed gives its readers an error, and the place is free for the next mount', async () => {
    const first = await rig.mount(store.path, { args: ['--cache-size', '64M'] })
    const readers = Array.from({ length: 8 }, () => startReader(first.path))
    await new Promise((resolve) => setTimeout(resolve, 150))
    process.kill(first.pid, 'SIGKILL')
    await Promise.all(readers.map(ended))
    for (const reader of readers) expect(reader.exitCode).toBe(1)
    await waitUntil(() => !isRunning(first.pid), 10_000, 'the end of the daemon')
    const second = await rig.mount(store.path)
    expect(second.path).toBe(first.path)
    expect(mountsBelow(rig.folder).length).toBe(1)
    expect((await sh(`sha256sum '${place(second.path)}/drive.img'`)).split(' ')[0]).toBe(sha(image))
  })

  it('an unmount under load is refused while readers are there; a lazy one serves them to their end', async () => {
    const mounted = await rig.mount(store.path, { args: ['--cache-size', '64M'] })
    const { path, pid } = mounted
    const reading = sh(`exec 3< '${place(path)}/drive.img'; sleep 1.5; sha256sum <&3`)
    const reader = startReader(path)
    await new Promise((resolve) => setTimeout(resolve, 300))
    const refused = await rig.umount(mounted)
    expect(refused.code).not.toBe(0)
    expect(statusOf(path).errors.count).toBe(0)
    expect((await rig.umount(mounted, '--lazy')).code).toBe(0)
    expect(mountsBelow(rig.folder)).toEqual([])
    expect((await reading).trim().split(' ')[0]).toBe(sha(image))
    await ended(reader)
    await waitUntil(() => !isRunning(pid), 10_000, 'the end of the daemon')
    expect(rig.remains()).toEqual([])
  })
})
