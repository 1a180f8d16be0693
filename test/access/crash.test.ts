import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { setupAccess, teardownAccess } from '#src/access/access.js'
import { emptyState, type AccessState, type GroupPlace } from '#src/access/access-state.js'
import { fileSteps, makeFolders, writeDurably } from '#src/access/durable-file.js'
import { StateFiles } from '#src/access/state-files.js'
import { ExternalCopier } from '../support/external-copier.js'
import { repoDir } from '../support/golden.js'
import { MEMORY_CHUNK, MemoryGroup } from '../support/memory-group.js'
import { Ended, MemorySteps, type Loss } from '../support/memory-steps.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const place: GroupPlace = { store: '/store', ns: [], type: 'vm', id: '100' }
const TIMES = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', '2026-01-03T00:00:00Z'] as const
const LOSSES: readonly (Loss | 'nothing')[] = ['nothing', 'names', 'contents', 'all']
const DISK = 'drive-scsi0.img'

const group = new MemoryGroup()
const images = TIMES.map((_time, i) => Buffer.alloc(4 * MEMORY_CHUNK, 7).fill(i, i * MEMORY_CHUNK, (i + 1) * MEMORY_CHUNK))
TIMES.forEach((time, i) => group.add(time, { [DISK]: images[i]! }))

const setup = (files: StateFiles, snapshot: string): Promise<unknown> => setupAccess(files, group, { target: 'tape', place, snapshot, bitmap: 'a' })

/** What a run does to the state, from the first on. */
const ACTS: readonly (readonly [name: string, act: (files: StateFiles) => Promise<unknown>])[] = [
  ['the first setup', (files) => setup(files, TIMES[0])],
  ['the first teardown', (files) => teardownAccess(files, { target: 'tape', place, success: true })],
  ['the second setup', (files) => setup(files, TIMES[1])],
  ['a teardown after failure', (files) => teardownAccess(files, { target: 'tape', place, success: false })],
  ['the third setup', (files) => setup(files, TIMES[2])],
  ['the last teardown', (files) => teardownAccess(files, { target: 'tape', place, success: true })],
]

/** All that counts of a state: ids and times are new in each run. */
function essence(steps: MemorySteps): unknown {
  const { states, problems } = new StateFiles('/state', steps).list()
  expect(problems).toEqual([])
  const state: AccessState | undefined = states[0]
  if (state === undefined || (state.active === undefined && state.bases.size === 0)) return 'nothing'
  return { bases: [...state.bases], active: state.active === undefined ? undefined : { snapshot: state.active.snapshot, disks: state.active.disks } }
}

/** Does the first acts in whole, then counts the steps of the next. */
async function afterActs(count: number): Promise<{ steps: MemorySteps; before: unknown }> {
  const steps = new MemorySteps()
  for (const [, act] of ACTS.slice(0, count)) await act(new StateFiles('/state', steps))
  steps.restart('all')
  return { steps, before: essence(steps) }
}

describe('a crash before any step', () => {
  it.each(ACTS.map(([name], i) => [name, i] as const))('%s: the state is the old one or the new one, and the new one when it was done', async (_name, number) => {
    const act = ACTS[number]![1]
    const whole = await afterActs(number)
    await act(new StateFiles('/state', whole.steps))
    const total = whole.steps.count
    const after = essence(whole.steps)
    expect(total).toBeGreaterThan(4)
    expect(after).not.toEqual(whole.before)
    const seen = new Set<string>()
    for (const loss of LOSSES) {
      for (let end = 0; end <= total; end++) {
        const { steps, before } = await afterActs(number)
        steps.endBefore = end
        const done = await act(new StateFiles('/state', steps)).then(
          () => true,
          (error: unknown) => {
            if (error instanceof Ended) return false
            throw error
          },
        )
        expect(done).toBe(end === total)
        // 'nothing': only the process ended, the machine goes on.
        if (loss === 'nothing') steps.goOn()
        else steps.restart(loss)
        const found = essence(steps)
        expect(done ? [after] : [before, after]).toContainEqual(found)
        seen.add(JSON.stringify(found) === JSON.stringify(before) ? 'old' : 'new')
        // Whoever comes next can go on: locks and leftovers do not stand in the way.
        const files = new StateFiles('/state', steps)
        if (files.list().states.some(({ active }) => active !== undefined)) await teardownAccess(files, { target: 'tape', place, success: false })
        const copier = new ExternalCopier(files, 'tape', place)
        copier.copies.set(DISK, Buffer.from(images[1]!))
        expect((await copier.run(group, TIMES[2], 'another-name')).access.disks[0]?.action).toBe('new')
        expect(copier.copies.get(DISK)).toEqual(images[2])
        // What it returned from lasts, whatever the one before left undone.
        steps.restart('all')
        expect(new StateFiles('/state', steps).list().states[0]?.bases.get(DISK)?.snapshot).toBe(TIMES[2])
      }
    }
    expect(seen).toEqual(new Set(['old', 'new']))
  })
})

describe('on a real file system', () => {
  const folder = temporaryFolder()
  const state: AccessState = { ...emptyState('tape', place), active: { id: '0'.repeat(16), snapshot: TIMES[0], since: 1, disks: [] } }

  it('writes files of the user alone, and leaves nothing beside them', () => {
    const path = join(folder, 'a/b/file')
    makeFolders(fileSteps, join(folder, 'a/b'))
    writeFileSync(`${path}.tmp`, 'left behind by somebody who ended halfway, and longer than what is written')
    writeDurably(fileSteps, path, Buffer.from('one'))
    writeDurably(fileSteps, path, Buffer.from('other'))
    expect(Buffer.from(fileSteps.read(path, 100)!).toString()).toBe('other')
    expect(readdirSync(join(folder, 'a/b'))).toEqual(['file'])
    expect(() => fileSteps.read(path, 4)).toThrow(/never more than 4/)
    expect(fileSteps.read(join(folder, 'none'), 4)).toBeUndefined()
    expect(() => fileSteps.read(folder, 1 << 20)).toThrow(/not a regular file/)
  })

  it('two at once: the second is told, not held up', async () => {
    const files = new StateFiles(join(folder, 'two'))
    await files.update('tape', place, async () => {
      await expect(new StateFiles(join(folder, 'two')).update('tape', place, async (seen) => [seen, 0])).rejects.toThrow(/another pbsfs/)
      return [state, 0]
    })
    expect(files.list().states[0]?.active?.snapshot).toBe(TIMES[0])
  })

  it('kill -9 before any step: the file is whole, the lock is gone', async () => {
    const script = join(folder, 'killed.mjs')
    const load = (path: string) => pathToFileURL(join(repoDir, 'dist/access', path)).href
    writeFileSync(
      script,
      `import { StateFiles } from ${JSON.stringify(load('state-files.js'))}
       import { fileSteps } from ${JSON.stringify(load('durable-file.js'))}
       const [folder, last, time] = process.argv.slice(2)
       let count = 0
       const step = (name) => (...args) => {
         if (count++ === Number(last)) process.kill(process.pid, 'SIGKILL')
         return fileSteps[name](...args)
       }
       const names = ['lock', 'create', 'write', 'sync', 'close', 'rename', 'syncFolder']
       const steps = { ...fileSteps, ...Object.fromEntries(names.map((name) => [name, step(name)])) }
       await new StateFiles(folder, steps).update('tape', ${JSON.stringify(place)}, async (state) => [{ ...state, active: { id: '0'.repeat(16), snapshot: time, since: 1, disks: [] } }, 0])
       process.stdout.write(String(count))
      `,
    )
    const where = join(folder, 'killed')
    mkdirSync(where)
    const files = new StateFiles(where)
    await files.update('tape', place, async () => [state, 0])
    const child = (last: number, time: string) =>
      new Promise<{ signal: unknown; out: string }>((resolve) => {
        execFile(process.execPath, [script, where, String(last), time], (error, out) => resolve({ signal: error?.signal, out }))
      })
    const total = Number((await child(Infinity, TIMES[0])).out)
    expect(total).toBeGreaterThan(6)
    const seen: string[] = []
    for (let last = 0; last < total; last++) {
      expect((await child(last, TIMES[1])).signal).toBe('SIGKILL')
      const { states, problems } = files.list()
      expect(problems).toEqual([])
      seen.push(states[0]!.active!.snapshot)
      await files.update('tape', place, async () => [state, 0])
    }
    expect(seen.sort()).toEqual([...Array<string>(total - 1).fill(TIMES[0]), TIMES[1]])
  })
})
