import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { main } from '#src/cli/main.js'
import { captureOutput } from '../support/captured-output.js'
import { DatastoreWriter } from '../support/datastore-writer.js'
import { exampleStore, repoDir } from '../support/golden.js'
import { dir, encodeArchive, file } from '../support/pxar-encoder.js'
import { runProgram } from '../support/run-program.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const program = join(repoDir, 'bin/pbsfs.js')
const folder = temporaryFolder()
const many = `${join(folder, 'store')}::host/web/latest/root.pxar`

beforeAll(() => {
  const store = new DatastoreWriter(join(folder, 'store'))
  const folders = Array.from({ length: 200 }, (_, i) => dir(`folder-${i}`, Array.from({ length: 20 }, (_, j) => file(`a-name-that-fills-pipes-${j}`.padEnd(100, 'x'), ''))))
  const { meta, payload } = encodeArchive(dir('', folders), { split: true })
  const snapshot = store.snapshot({ type: 'host', id: 'web' }, '2026-01-01T00:00:00Z')
  snapshot.addStream('root.mpxar.didx', [meta])
  snapshot.addStream('root.ppxar.didx', [payload!])
  snapshot.finish()
})

describe('a reader that has enough', () => {
  for (const words of [['find', many], ['find', many, '--json'], ['ls', many, '-R'], ['restore', many, join(folder, 'target'), '--dry-run'], ['list', exampleStore]]) {
    it(`ends ${words[0]!} ${words.slice(2).join(' ')} without a word`, async () => {
      const line = `set -o pipefail; ${[process.execPath, program, ...words].map((word) => `'${word}'`).join(' ')} | head -n 1`
      const { code, out, err } = await runProgram('/bin/bash', ['-c', line])
      expect({ code, err, lines: out.trim().split('\n').length }).toEqual({ code: 0, err: '', lines: 1 })
    })
  }

  it('does not keep a restore from its work', async () => {
    const target = join(folder, 'restored')
    const line = `set -o pipefail; '${process.execPath}' '${program}' restore '${exampleStore}::host/web/latest/root.pxar' '${target}' --ignore-ownership | true`
    expect(await runProgram('/bin/bash', ['-c', line])).toMatchObject({ code: 0, err: expect.not.stringContaining('Error') as string })
    expect(readFileSync(join(target, 'etc/hosts'), 'utf8')).toContain('localhost')
  })
})

describe('a disk that is full', () => {
  for (const words of [['list', exampleStore], ['find', many], ['cat', `${exampleStore}::host/web/latest/root.pxar:etc/hosts`]]) {
    it(`is told of by ${words[0]!}`, async () => {
      const line = `${[process.execPath, program, ...words].map((word) => `'${word}'`).join(' ')} > /dev/full`
      const { code, err } = await runProgram('/bin/bash', ['-c', line])
      expect({ code, err }).toEqual({ code: 1, err: 'pbsfs: standard output cannot be written: ENOSPC: no space left on device, write\n' })
    })
  }
})

describe('list', () => {
  const list = async (columns: number | undefined, ...args: string[]) => {
    const output = captureOutput(columns)
    return { code: await main(['list', ...args], output), ...output.texts }
  }

  it('names fewer archives where a terminal is narrow, and all elsewhere', async () => {
    const vm = `${exampleStore}::vm/100`
    expect((await list(undefined, vm)).out).toMatch(/ qemu-server\.conf drive-scsi0\.img /)
    expect((await list(200, vm)).out).toEqual((await list(undefined, vm)).out)
    const narrow = (await list(95, vm)).out
    expect(narrow).toMatch(/ qemu-server\.conf \+1 /)
    for (const line of narrow.split('\n')) expect(line.length).toBeLessThanOrEqual(95)
  })

  const before = process.env['PBS_REPOSITORY']
  afterAll(() => {
    if (before === undefined) delete process.env['PBS_REPOSITORY']
    else process.env['PBS_REPOSITORY'] = before
  })

  it('without SOURCE: the whole store that is named otherwise', async () => {
    delete process.env['PBS_REPOSITORY']
    expect(await list(undefined, '--repository', exampleStore)).toEqual(await list(undefined, exampleStore))
    expect((await list(undefined, '--repository', exampleStore, '--ns', 'offsite')).out).toEqual((await list(undefined, `${exampleStore}::ns/offsite`)).out)
    expect(await list(undefined)).toMatchObject({ code: 2, err: expect.stringContaining('the source is missing: name a datastore') as string })
  })
})

it('find --all without the key: what has no key is named once, and the code says that it is the key', async () => {
  const output = captureOutput()
  expect(await main(['find', exampleStore, '--all', '-name', 'hosts'], output)).toBe(5)
  expect(output.texts.out).toContain('host/web/2026-01-03T00:00:00Z/root.pxar/etc/hosts\n')
  expect(output.texts.err).toMatch(/host\/secret\/\S+: needs key/)
})

it('find --all over a snapshot that cannot be read: it is named, and nothing is said to be gone since it, but since the next', async () => {
  const store = new DatastoreWriter(join(temporaryFolder(), 'store'))
  const add = (time: string, ...names: string[]) => {
    const snapshot = store.snapshot({ type: 'host', id: 'h' }, time)
    snapshot.addStream('root.pxar.didx', [encodeArchive(dir('', names.map((name) => file(name, name)))).meta])
    snapshot.finish()
  }
  add('2026-01-01T00:00:00Z', 'old', 'kept')
  add('2026-01-02T00:00:00Z', 'kept', 'lost')
  add('2026-01-03T00:00:00Z', 'kept', 'new')
  const find = async (...args: string[]) => {
    const output = captureOutput()
    return { code: await main(['find', `${store.path}::host/h`, '--all', '-type', 'f', ...args], output), ...output.texts }
  }
  expect((await find('-name', 'old')).out).toMatch(/^2026-01-01T00:00:00Z\/root\.pxar\/old .*\(gone since 2026-01-02T00:00:00Z\)\n$/)
  rmSync(join(store.path, 'host/h/2026-01-02T00:00:00Z/root.pxar.didx'))
  const { code, out, err } = await find()
  expect(code).toBe(3)
  expect(err).toMatch(/^pbsfs: .*2026-01-02T00:00:00Z/)
  expect(out).toMatch(/^2026-01-01T00:00:00Z\/root\.pxar\/old .*\(gone since 2026-01-03T00:00:00Z\)$/m)
  expect(out).toMatch(/^2026-01-03T00:00:00Z\/root\.pxar\/kept$/m)
  expect(out).not.toContain('lost')
})

it.each([['-maxdepth', '1'], ['-mindepth', '1'], ['-delete'], ['-printf', '%p']])('find %s: a word it has not is refused, and no help stands for it', async (...words) => {
  const output = captureOutput()
  expect(await main(['find', exampleStore, ...words], output)).toBe(2)
  expect(output.texts.out).toBe('')
  expect(output.texts.err).toContain(`pbsfs: no option ${words[0]}`)
})
