import { randomBytes } from 'node:crypto'
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { main } from '#src/cli/main.js'
import { captureOutput } from '../support/captured-output.js'
import { DatastoreWriter, testKey } from '../support/datastore-writer.js'
import { repoDir } from '../support/golden.js'
import { encodeKeyFile, signManifest } from '../support/key-writer.js'
import { runProgram } from '../support/run-program.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const folder = temporaryFolder()
// The separator of SOURCE in a path.
const store = new DatastoreWriter(join(folder, 'a::store'))
const source = store.path.replace('::', ':\\x3a')
const state = join(folder, 'state')
const CHUNK = 65_536
const DAYS = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', '2026-01-03T00:00:00Z'] as const
const keyFile = join(folder, 'key')

const disk = randomBytes(4 * CHUNK)
const changed = Buffer.from(disk).fill(1, CHUNK, CHUNK + 1)

interface Setup {
  id: string
  group: string
  snapshot: string
  disks: { name: string; archive: string; size: number; bitmap: string | null; action: string; dirty: number; reason: string | null }[]
}

async function run(...args: string[]) {
  const output = captureOutput()
  return { code: await main(['access', ...args, '--state-dir', state, '--decoders', '1'], output), ...output.texts }
}

async function json<T>(...args: string[]): Promise<T> {
  const { out, err } = await run(...args, '--json')
  if (out === '') throw new Error(err)
  return JSON.parse(out) as T
}

beforeAll(() => {
  for (const [i, image] of [disk, changed, disk].entries()) {
    const plain = store.snapshot({ type: 'vm', id: '100' }, DAYS[i]!)
    plain.addImage('drive-scsi0.img.fidx', image)
    plain.addBlob('qemu-server.conf.blob', Buffer.from('cores: 1\n'))
    plain.finish()
    const keyed = store.snapshot({ ns: ['prod'], type: 'vm', id: '200' }, DAYS[i]!)
    keyed.addImage('drive-virtio0.img.fidx', image, CHUNK, 'encrypted')
    keyed.finish({ signature: signManifest(keyed.manifestJson(), testKey) })
  }
  writeFileSync(keyFile, encodeKeyFile(testKey), { mode: 0o600 })
})

describe('pbsfs access', () => {
  it('setup, ranges, teardown, list: what a backup program needs', async () => {
    const first = await json<Setup>('setup', 'tape', `${source}::vm/100/${DAYS[0]}`, '--bitmap', 'weekly')
    expect(first).toMatchObject({ version: 1, target: 'tape', group: 'vm/100', snapshot: DAYS[0] })
    expect(first.disks).toEqual([{ name: 'drive-scsi0', archive: 'drive-scsi0.img', size: 4 * CHUNK, bitmap: 'weekly', action: 'new', dirty: 4 * CHUNK, reason: null }])
    expect(await run('setup', 'tape', `${source}::vm/100/latest`, '--bitmap', 'weekly')).toMatchObject({ code: 4, out: '', err: expect.stringContaining(`pbsfs access teardown tape --failure --id ${first.id}`) as string })
    expect(await run('teardown', 'tape')).toMatchObject({ code: 2 })
    expect(await run('teardown', 'tape', '--success', '--id', first.id)).toEqual({ code: 0, out: '', err: '' })
    const { out, code } = await run('setup', 'tape', `${source}::vm/100/${DAYS[1]}`, '--bitmap', 'weekly')
    expect(code).toBe(0)
    expect(out).toMatch(/^access [0-9a-f]{16} to vm\/100\/2026-01-02T00:00:00Z\nDISK +SIZE +BITMAP +TO READ +ACTION\ndrive-scsi0 +256 KiB +weekly +64\.0 KiB +used\n$/)
    expect(await run('ranges', 'tape', 'drive-scsi0')).toEqual({ code: 0, out: `${CHUNK} ${CHUNK}\n`, err: '' })
    expect(await json('ranges', 'tape', 'drive-scsi0.img')).toMatchObject({ version: 1, bitmap: 'weekly', action: 'used', dirty: CHUNK, ranges: [{ offset: CHUNK, length: CHUNK }] })
    expect((await run('list')).out).toMatch(/^tape +vm\/100\/drive-scsi0 +weekly +2026-01-01T00:00:00Z +2026-01-02T00:00:00Z since /m)
    expect(await json('teardown', 'tape', '--failure')).toMatchObject({ target: 'tape', snapshot: DAYS[1], success: false })
    expect(await json('list', 'tape')).toMatchObject({
      targets: [{ target: 'tape', store: store.path, group: 'vm/100', active: null, bases: [{ name: 'drive-scsi0', bitmap: 'weekly', snapshot: DAYS[0], tried: [DAYS[1]] }] }],
    })
    expect(await json('list', 'other')).toEqual({ version: 1, targets: [] })
    expect(await run('ranges', 'tape', 'drive-scsi0')).toMatchObject({ code: 2, err: expect.stringContaining('no access of tape is set up') as string })
    // The state is not in the store.
    expect(readdirSync(store.path).sort()).toEqual(['.chunks', 'ns', 'vm'])
  })

  it('encrypted disks in a namespace; several groups of one target', async () => {
    const args = ['--bitmap', 'weekly', '--keyfile', keyFile]
    const secret = await json<Setup>('setup', 'disk', `${source}::ns/prod/vm/200/${DAYS[0]}`, ...args)
    expect(secret).toMatchObject({ group: 'ns/prod/vm/200', disks: [{ name: 'drive-virtio0', action: 'new' }] })
    await json('setup', 'disk', `${source}::vm/100/latest`, ...args)
    const unclear = await run('teardown', 'disk', '--success')
    expect(unclear).toMatchObject({ code: 2, err: expect.stringContaining('choose one with --group') as string })
    expect(await run('teardown', 'disk', '--success', '--group', 'ns/prod/vm/200')).toMatchObject({ code: 0 })
    expect(await json('setup', 'disk', `${source}::ns/prod/vm/200/${DAYS[1]}`, ...args)).toMatchObject({ disks: [{ action: 'used', dirty: CHUNK }] })
    expect(await json('ranges', 'disk', 'drive-virtio0', '--group', `${store.path}::ns/prod/vm/200`, '--keyfile', keyFile)).toMatchObject({ dirty: CHUNK })
    expect(await run('ranges', 'disk', 'drive-virtio0', '--group', 'ns/prod/vm/200')).toMatchObject({ code: 5, out: '' })
  })

  it('the server pruned what the target holds: invalid, and a full read', async () => {
    await json('setup', 'pruned', `${source}::vm/100/${DAYS[0]}`, '--bitmap', 'a')
    await run('teardown', 'pruned', '--success')
    rmSync(join(store.path, 'vm/100', DAYS[0]), { recursive: true })
    const { disks } = await json<Setup>('setup', 'pruned', `${source}::vm/100/${DAYS[2]}`, '--bitmap', 'a')
    expect(disks[0]).toMatchObject({ action: 'invalid', dirty: 4 * CHUNK, reason: `snapshot ${DAYS[0]} is gone` })
  })

  it('command lines that mean nothing', async () => {
    for (const args of [['setup', 'x'], ['setup', 'x', `${source}::vm/100`], ['setup', 'x', `${source}::vm/100/latest/drive-scsi0.img`], ['setup', 'a/b', `${source}::vm/100/latest`],
      ['setup', 'x', `${source}::vm/100/latest`, '--bitmap', 'a b'], ['ranges', 'x'], ['teardown'], ['list', 'a', 'b'], ['teardown', 'x', '--success', '--failure'], ['what']]) {
      expect([args, (await run(...args)).code]).toEqual([args, 2])
    }
    expect(await run('setup', 'x', `${source}::vm/100/2020-01-01T00:00:00Z`)).toMatchObject({ code: 4, out: '' })
  })

  it('two programs at once: one gets the access, the other is told', async () => {
    const program = join(repoDir, 'bin/pbsfs.js')
    const one = () => runProgram(process.execPath, [program, 'access', 'setup', 'both', `${source}::vm/100/latest`, '--bitmap', 'a', '--json'], { env: { PBSFS_STATE_DIR: state } })
    const ended = await Promise.all([one(), one()])
    expect(ended.map(({ code }) => code).sort()).toEqual([0, 4])
    const { id } = JSON.parse(ended.find(({ code }) => code === 0)!.out) as Setup
    expect(await json('teardown', 'both', '--failure')).toMatchObject({ id })
  })
})
