import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { GroupPlace } from '#src/access/access-state.js'
import { GroupDisks, type SnapshotDisks } from '#src/access/snapshot-disks.js'
import { StateFiles } from '#src/access/state-files.js'
import { TreeView } from '#src/browse/tree-view.js'
import { SourceError } from '#src/errors/errors.js'
import { ExternalCopier, type CopierRun } from '../support/external-copier.js'
import { goldenDir } from '../support/golden.js'
import { MEMORY_CHUNK, MemoryGroup, type MemoryDisk } from '../support/memory-group.js'
import { MemorySteps } from '../support/memory-steps.js'
import { describeWith } from '../support/needs.js'
import { OpenedTree } from '../support/opened-tree.js'

const place: GroupPlace = { store: '/store', ns: [], type: 'vm', id: '100' }
const newFiles = () => new StateFiles('/state', new MemorySteps())

/** Where the chunks of two states of a disk differ; of all that lies behind the end of one of them. */
function changedChunks(before: Buffer, after: Buffer, step: number): number[] {
  const changed: number[] = []
  for (let at = 0; at < after.length; at += step) {
    if (!before.subarray(at, at + step).equals(after.subarray(at, at + step))) changed.push(at)
  }
  return changed
}

const starts = (ranges: CopierRun['read'], archive: string, step: number): number[] =>
  (ranges.get(archive) ?? []).flatMap(({ offset, length }) => Array.from({ length: Math.ceil(length / step) }, (_, i) => offset + i * step))

const STEP = MEMORY_CHUNK
const time = (i: number) => `2026-01-01T00:${String(Math.floor(i / 60)).padStart(2, '0')}:${String(i % 60).padStart(2, '0')}Z`

type Step =
  | { readonly kind: 'write'; readonly disk: number; readonly chunks: readonly number[]; readonly value: number }
  | { readonly kind: 'resize'; readonly disk: number; readonly size: number }
  | { readonly kind: 'drop' | 'rekey'; readonly disk: number }
  | { readonly kind: 'prune' | 'replace'; readonly which: number }
  | { readonly kind: 'run'; readonly bitmap: string | undefined; readonly failAfter: number | undefined }

const disk = fc.nat(1)
const write = fc.record({ kind: fc.constant('write' as const), disk: fc.constant(0), chunks: fc.array(fc.nat(3), { minLength: 1, maxLength: 2 }), value: fc.nat(1) })
const failAfter = fc.constantFrom(undefined, 0, 1, 2)
/** Runs that end well or not, on disks that are written to and put back. */
const calm: fc.Arbitrary<Step> = fc.oneof(write, fc.record({ kind: fc.constant('run' as const), bitmap: fc.constant('a'), failAfter }))
const wild: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: calm },
  { weight: 1, arbitrary: write.map((step) => ({ ...step, disk: 1 })) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('resize' as const), disk, size: fc.integer({ min: 1, max: 12 * STEP }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('drop' as const, 'rekey' as const), disk }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('prune' as const, 'replace' as const), which: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('run' as const), bitmap: fc.constantFrom('a', 'b', undefined), failAfter }) },
)

it.each([['with failures alone', calm], ['with everything else', wild]])('whatever happens between the runs (%s), one that ends well leaves an identical disk', async (_what, step) => {
  const steps = fc.array(step, { minLength: 4, maxLength: 30, size: 'max' })
  await fc.assert(
    fc.asyncProperty(steps, async (story) => {
      const group = new MemoryGroup()
      const copier = new ExternalCopier(newFiles(), 'tape', place)
      const live = new Map<string, MemoryDisk>()
      const diskOf = (number: number) => {
        const name = `drive-scsi${number}.img`
        const known = live.get(name) ?? { bytes: Buffer.alloc(8 * STEP), domain: 'plain' }
        live.set(name, known)
        return known
      }
      let count = 0
      for (const step of story) {
        const known = [...group.snapshots.keys()]
        switch (step.kind) {
          case 'write': {
            const { bytes } = diskOf(step.disk)
            for (const chunk of step.chunks) bytes[(chunk * STEP) % bytes.length] = step.value
            break
          }
          case 'resize': {
            const changed = diskOf(step.disk)
            changed.bytes = Buffer.concat([changed.bytes.subarray(0, step.size), Buffer.alloc(Math.max(0, step.size - changed.bytes.length))])
            break
          }
          case 'drop':
            live.delete(`drive-scsi${step.disk}.img`)
            break
          case 'rekey':
            diskOf(step.disk).domain = diskOf(step.disk).domain === 'plain' ? 'key' : 'plain'
            break
          case 'prune':
            if (known.length > 0) group.snapshots.delete(known[step.which % known.length]!)
            break
          case 'replace':
            // By what the disks are now: as if nothing had changed since.
            for (const [name, old] of group.snapshots.get(known[step.which % Math.max(known.length, 1)] ?? '') ?? []) old.bytes = Buffer.from(live.get(name)?.bytes ?? old.bytes)
            break
          case 'run': {
            diskOf(0)
            const snapshot = time(count++)
            group.add(snapshot, Object.fromEntries(live))
            await copier.run(group, snapshot, step.bitmap, step.failAfter)
            if (step.failAfter === undefined) expect(new Map([...live].map(([name, { bytes }]) => [name, bytes]))).toEqual(copier.copies)
          }
        }
      }
    }),
    { numRuns: 300 },
  )
})

it('a block that was written and put back while runs failed is read again', async () => {
  const group = new MemoryGroup()
  const copier = new ExternalCopier(newFiles(), 'tape', place)
  const states = [0, 1, 0].map((value) => Buffer.alloc(4 * STEP, 7).fill(value, STEP, 2 * STEP))
  states.forEach((bytes, i) => group.add(time(i), { 'drive-scsi0.img': bytes }))
  await copier.run(group, time(0), 'a')
  await copier.run(group, time(1), 'a', 1)
  expect(copier.copies.get('drive-scsi0.img')).toEqual(states[1])
  const { access, read } = await copier.run(group, time(2), 'a')
  expect(access.disks[0]).toMatchObject({ action: 'used', dirty: STEP })
  expect(starts(read, 'drive-scsi0.img', STEP)).toEqual([STEP])
  expect(copier.copies.get('drive-scsi0.img')).toEqual(states[2])
  // Now it holds the last one, and nothing is left to do.
  expect((await copier.run(group, time(2), 'a')).access.disks[0]).toMatchObject({ action: 'used', dirty: 0 })
})

const golden = goldenDir() ?? ''
/** drive-scsi3 has 24 GiB, and only the first generation has it. */
const LARGE = 'drive-scsi3.img'
const CHUNK = 4 << 20

describeWith({ golden: true }, 'another backup program over the generations of vm/100', () => {
  it('ends with the disks of each, and reads only chunks that changed', async () => {
    const tree = await OpenedTree.open(`${golden}/store::vm/100`)
    try {
      const disks = new GroupDisks(new TreeView(tree.tree))
      const without: SnapshotDisks = {
        resolveTime: (name) => disks.resolveTime(name),
        find: (name, archive) => disks.find(name, archive),
        list: async (name) => (await disks.list(name)).filter(({ archive }) => archive !== LARGE),
      }
      const copier = new ExternalCopier(newFiles(), 'tape', place)
      let before = new Map<string, Buffer>()
      for (const [i, snapshot] of ['2023-12-09T12:00:00Z', '2023-12-10T12:00:00Z', 'latest'].entries()) {
        const { access, read } = await copier.run(without, snapshot, 'weekly')
        expect(access.disks.length).toBe(5)
        const truth = readFileSync(join(golden, `truth/vm-100-${i + 1}.jsonl`), 'utf8').split('\n')
        for (const { archive, action, dirty, size } of access.disks) {
          const copy = copier.copies.get(archive)!
          const expected = truth.find((line) => line.includes(`"archive":"${archive}.fidx"`)) ?? '{}'
          expect((JSON.parse(expected) as { sha256: string }).sha256).toBe(createHash('sha256').update(copy).digest('hex'))
          expect(action).toBe(i === 0 ? 'new' : 'used')
          if (i === 0) expect(dirty).toBe(size)
          else expect(starts(read, archive, CHUNK)).toEqual(changedChunks(before.get(archive)!, copy, CHUNK))
          expect((read.get(archive) ?? []).reduce((sum, { length }) => sum + length, 0)).toBe(dirty)
        }
        before = new Map([...copier.copies].map(([name, copy]) => [name, Buffer.from(copy)]))
      }
    } finally {
      await tree.close()
    }
  })

  it('knows the large disk, and that it is gone in the next generation', async () => {
    const tree = await OpenedTree.open(`${golden}/store::vm/100`)
    try {
      const disks = new GroupDisks(new TreeView(tree.tree))
      const first = await disks.list('2023-12-09T12:00:00Z')
      expect(first.find(({ archive }) => archive === LARGE)?.version.size).toBe(24 * 2 ** 30)
      expect(await disks.find('2023-12-10T12:00:00Z', LARGE)).toContain('has no disk')
      expect(await disks.find('2023-12-01T12:00:00Z', LARGE)).toContain('is gone')
      expect(await disks.resolveTime('latest')).toBe('2023-12-11T12:00:00Z')
      await expect(disks.list('2023-12-01T12:00:00Z')).rejects.toThrow(SourceError)
    } finally {
      await tree.close()
    }
  })
})
