import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { RangeList } from '#src/bytes/range-list.js'
import { main } from '#src/cli/main.js'
import { AbortedError, BusyError, IntegrityError, UsageError } from '#src/errors/errors.js'
import { tryLock } from '#src/posix/flock.js'
import { restoreChanged, type ChangedOptions } from '#src/restore/restore-changed.js'
import { captureOutput } from '../support/captured-output.js'
import { noise } from '../support/chunk-rig.js'
import { DatastoreWriter } from '../support/datastore-writer.js'
import { memoryImage, type MemoryImageOptions } from '../support/memory-image.js'
import { describeWith } from '../support/needs.js'
import { runOk } from '../support/run-program.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const folder = temporaryFolder()
const target = join(folder, 'disk')
const BLOCK = 4096
const CHUNK = 16 * BLOCK

async function change(image: Uint8Array, options: Partial<ChangedOptions> = {}, more: MemoryImageOptions = {}) {
  let looked = 0
  const stream = memoryImage(image, { chunkSize: CHUNK, ...more })
  const signal = new AbortController().signal
  const summary = await restoreChanged({ stream, start: 0, size: image.length }, Buffer.from(target), {
    differing: undefined, dryRun: false, signal, onBytes: (count) => (looked += count), ...options,
  }) // prettier-ignore
  return { ...summary, looked, reads: stream.reads }
}

/** Blocks with a mark or without, and what lies behind the end. */
const blocks = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 40, maxLength: 60 })
const draw = (marks: readonly number[], cut = 0): Buffer =>
  Buffer.concat(marks.map((mark) => Buffer.alloc(BLOCK, mark === 0 ? 0 : 0x30 + mark))).subarray(0, marks.length * BLOCK - cut)

it('whatever is there, afterwards it is the image; only blocks that differ are counted; what is behind stays', async () => {
  await fc.assert(
    fc.asyncProperty(blocks, fc.array(fc.tuple(fc.nat(59), fc.nat(3)), { maxLength: 8 }), fc.nat(BLOCK - 1), fc.nat(3 * BLOCK), async (marks, edits, cut, behind) => {
      const image = draw(marks, cut)
      const present = Buffer.from(image)
      for (const [at, mark] of edits) present.fill(mark, (at * BLOCK) % image.length, Math.min(image.length, ((at * BLOCK) % image.length) + 7))
      const tail = Buffer.alloc(behind, 0xee)
      writeFileSync(target, Buffer.concat([present, tail]))
      let expected = 0
      for (let at = 0; at < image.length; at += BLOCK) {
        if (!image.subarray(at, at + BLOCK).equals(present.subarray(at, at + BLOCK))) expected += Math.min(BLOCK, image.length - at)
      }
      const facts = { size: image.length, targetSize: image.length + behind, changed: expected, looked: image.length }
      expect(await change(image, { dryRun: true })).toMatchObject(facts)
      expect(readFileSync(target).equals(Buffer.concat([present, tail]))).toBe(true)
      expect(await change(image)).toMatchObject(facts)
      expect(readFileSync(target).equals(Buffer.concat([image, tail]))).toBe(true)
      expect((await change(image)).changed).toBe(0)
    }),
    { numRuns: 60 },
  )
})

it('ranges that are known to differ are written, zeros among them, and nothing else is read or touched', async () => {
  const image = Buffer.concat([noise(2 * CHUNK, 1), Buffer.alloc(CHUNK), noise(CHUNK, 2)])
  const present = Buffer.from(image)
  present.fill(9, CHUNK, 3 * CHUNK)
  writeFileSync(target, present)
  const differing = new RangeList()
  differing.add(CHUNK, 3 * CHUNK)
  // What was cut off since.
  differing.add(10 * CHUNK, 12 * CHUNK)
  expect(await change(image, { differing, dryRun: true })).toMatchObject({ changed: 2 * CHUNK, looked: 0 })
  const { changed, looked, reads } = await change(image, { differing })
  expect([changed, looked]).toEqual([2 * CHUNK, 2 * CHUNK])
  expect(readFileSync(target).equals(image)).toBe(true)
  expect(reads.filter(([offset]) => offset > CHUNK && offset < 3 * CHUNK)).toEqual([])
})

it('a target that is not what it is said to be is left alone', async () => {
  const image = noise(64 * CHUNK, 3)
  writeFileSync(target, noise(64 * CHUNK, 4))
  const differing = new RangeList()
  differing.add(5 * CHUNK, 6 * CHUNK)
  await expect(change(image, { differing })).rejects.toThrow(/does not hold what it is said to hold/)
  expect(readFileSync(target).equals(noise(64 * CHUNK, 4))).toBe(true)
})

it('zeros become holes of a file', async () => {
  writeFileSync(target, noise(4 << 20, 5))
  await change(Buffer.concat([noise(CHUNK, 6), Buffer.alloc((4 << 20) - CHUNK)]))
  expect(statSync(target).blocks * 512).toBeLessThan(1 << 20)
  expect(statSync(target).size).toBe(4 << 20)
})

it('too small, missing, no file, locked: nothing is written', async () => {
  const image = noise(CHUNK, 7)
  writeFileSync(target, Buffer.alloc(CHUNK - 1, 1))
  await expect(change(image)).rejects.toThrow(/has 65535 bytes, the image 65536; nothing was written/)
  expect(readFileSync(target).equals(Buffer.alloc(CHUNK - 1, 1))).toBe(true)
  writeFileSync(target, Buffer.alloc(CHUNK, 1))
  const fd = openSync(target, 'r')
  try {
    expect(tryLock(fd, 'exclusive')).toBeUndefined()
    await expect(change(image)).rejects.toThrow(BusyError)
  } finally {
    closeSync(fd)
  }
  const to = (path: string) => restoreChanged({ stream: memoryImage(image), start: 0, size: image.length }, Buffer.from(path), { differing: undefined, dryRun: true, signal: new AbortController().signal, onBytes: () => undefined })
  await expect(to(join(folder, 'none'))).rejects.toThrow(UsageError)
  expect(existsSync(join(folder, 'none'))).toBe(false)
  await expect(to(folder)).rejects.toThrow(/neither a block device nor a file/)
  await runOk('mkfifo', [join(folder, 'fifo')])
  await expect(to(join(folder, 'fifo'))).rejects.toThrow(/neither a block device nor a file/)
})

it('lost bytes and an interruption end it; the same call goes on', async () => {
  const image = noise(80 * CHUNK, 8)
  writeFileSync(target, Buffer.alloc(image.length))
  await expect(change(image, {}, { lost: 79 })).rejects.toThrow(IntegrityError)
  writeFileSync(target, Buffer.alloc(image.length))
  const controller = new AbortController()
  await expect(change(image, { signal: controller.signal, onBytes: () => controller.abort() })).rejects.toThrow(AbortedError)
  const { changed } = await change(image)
  expect(changed).toBe(16 * CHUNK)
  expect(readFileSync(target).equals(image)).toBe(true)
})

const TIMES = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'] as const
const first = Buffer.concat([noise(2 * CHUNK, 10), Buffer.alloc(CHUNK), noise(CHUNK, 11)])
const second = Buffer.from(first).fill(7, CHUNK + 10, CHUNK + 20)

function writeStore(): string {
  const store = new DatastoreWriter(join(folder, 'store'))
  for (const [i, image] of [first, second].entries()) {
    const snapshot = store.snapshot({ type: 'vm', id: '1' }, TIMES[i]!)
    snapshot.addImage('drive.img.fidx', image, CHUNK)
    snapshot.finish()
  }
  return store.path
}

async function run(...args: string[]) {
  const output = captureOutput()
  return { code: await main(['restore', ...args, '--changed', '--decoders', '1'], output), ...output.texts }
}

it('pbsfs restore --changed: how much, then exactly that; with --since by chunks, without reading the target', async () => {
  const store = writeStore()
  const source = `${store}::vm/1/${TIMES[0]}/drive.img`
  writeFileSync(target, Buffer.concat([second, Buffer.from('behind')]))
  expect(await run(source, target, '--dry-run')).toMatchObject({ code: 0, out: `would restore 4.0 KiB of 256 KiB to ${target}\n`, err: expect.stringContaining('6 B larger than the image') as string })
  expect(JSON.parse((await run(source, target, '--dry-run', '--json', '--since', TIMES[1])).out)).toMatchObject({ version: 1, dryRun: true, size: 4 * CHUNK, targetSize: 4 * CHUNK + 6, changedBytes: CHUNK })
  expect(readFileSync(target).equals(Buffer.concat([second, Buffer.from('behind')]))).toBe(true)
  expect(JSON.parse((await run(source, target, '-n', '--json', '--since', `${store}::vm/1/${TIMES[1]}`)).out)).toMatchObject({ changedBytes: CHUNK })
  expect(await run(source, target, '--since', `${store}::vm/1/latest/drive.img`, '--verify')).toMatchObject({ code: 0, out: expect.stringMatching(/^restored 64\.0 KiB of 256 KiB to /) as string })
  expect(readFileSync(target).equals(Buffer.concat([first, Buffer.from('behind')]))).toBe(true)
  expect(await run(`${store}::vm/1/latest/drive.img`, target, '--json', '--verify')).toMatchObject({ code: 0 })
  expect(readFileSync(target).equals(Buffer.concat([second, Buffer.from('behind')]))).toBe(true)
  expect(await run(`${store}::vm/1/latest`, target)).toMatchObject({ code: 2, err: expect.stringContaining('--changed is for disk images') as string })
  expect(await run(source, target, '--since', `${store}::vm/1`)).toMatchObject({ code: 2 })
  expect(await run(source, join(store, 'vm/disk'))).toMatchObject({ code: 2, err: expect.stringContaining('lies in the datastore') as string })
})

describeWith({ root: true, programs: { 'mkfs.ext4': 'e2fsprogs', losetup: 'mount' } }, 'block devices', () => {
  it('a device is changed in place; never one that is mounted, nor a file behind one', async () => {
    const store = writeStore()
    const source = `${store}::vm/1/${TIMES[0]}/drive.img`
    writeFileSync(target, Buffer.alloc(512 * 1024, 0xee))
    const device = (await runOk('losetup', ['--find', '--show', target])).trim()
    try {
      expect((await run(source, target)).err).toMatch(new RegExp(`is in use by ${device}; nothing was written`))
      expect(await run(source, device, '--verify')).toMatchObject({ code: 0, out: expect.stringContaining('restored 256 KiB of 256 KiB') as string })
      expect((await run(source, device)).out).toContain('restored 0 B of 256 KiB')
    } finally {
      await runOk('losetup', ['-d', device])
    }
    expect(readFileSync(target).equals(Buffer.concat([first, Buffer.alloc(256 * 1024, 0xee)]))).toBe(true)
    truncateSync(target, 1 << 20)
    const small = (await runOk('losetup', ['--find', '--show', target])).trim()
    try {
      await runOk('mkfs.ext4', ['-q', small])
      const at = join(folder, 'mounted')
      mkdirSync(at)
      await runOk('mount', [small, at])
      try {
        expect(await run(source, small)).toMatchObject({ code: 4, err: expect.stringContaining('is mounted or in use; nothing was written') as string })
      } finally {
        await runOk('umount', [at])
      }
    } finally {
      await runOk('losetup', ['-d', small])
    }
  })
})
