import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { noise } from '../support/chunk-rig.js'
import { DatastoreWriter } from '../support/datastore-writer.js'
import { repoDir } from '../support/golden.js'
import { waitUntil } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { runOk, runProgram } from '../support/run-program.js'

const program = join(repoDir, 'bin/pbsfs.js')
const TIME = '2026-01-01T00:00:00Z'
const CHUNK = 65_536
const SIZE = 200 * CHUNK + 512
const image = noise(SIZE, 6)
image.fill(0, 50 * CHUNK, 120 * CHUNK)

let folder: string
let target: string
let socket: string
let children: ChildProcess[]
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pbsfs-live-'))
  target = join(folder, 'disk.raw')
  socket = join(folder, 's')
  children = []
})
afterEach(() => {
  for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

function writeStore(name = 'store', bytes = image): string {
  const store = new DatastoreWriter(join(folder, name))
  const snapshot = store.snapshot({ type: 'vm', id: '100' }, TIME)
  snapshot.addImage('drive-scsi0.img.fidx', bytes, CHUNK)
  snapshot.finish()
  return `${store.path}::vm/100/latest/drive-scsi0.img`
}

interface Running {
  readonly child: ChildProcess
  /** Exit code; null for a signal. */
  readonly ended: Promise<number | null>
  readonly text: () => string
}

/** `pbsfs restore --live`, as far as it can be used. */
async function start(source: string, ...args: string[]): Promise<Running> {
  const child = spawn(process.execPath, [program, 'restore', source, target, '--live', '--socket', socket, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, XDG_STATE_HOME: join(folder, 'state') },
  })
  children.push(child)
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => (text += bytes.toString()))
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  const isOver = ended.then(() => true)
  await waitUntil(async () => text.includes('can be used at') || Promise.race([isOver, new Promise<boolean>((resolve) => setTimeout(resolve, 20, false))]), 20_000)
  return { child, ended, text: () => text }
}

const uri = () => `nbd+unix:///drive-scsi0?socket=${socket}`
const io = (...commands: string[]) => runOk('qemu-io', ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), uri()])

/** The disk with what was written to it. */
function changed(...changes: (readonly [offset: number, length: number, byte: number])[]): Buffer {
  const out = Buffer.from(image)
  for (const [offset, length, byte] of changes) out.fill(byte, offset, offset + length)
  return out
}

describeWith({ programs: { 'qemu-io': 'qemu-utils', 'qemu-img': 'qemu-utils' } }, 'a disk that is used while it is restored', () => {
  it('reads what is not there yet from the backup, keeps what is written, and in the end the target alone is the disk', async () => {
    // Slow enough to be used before it is complete.
    const { ended, text } = await start(writeStore(), '--rate', '4M', '--verify')
    await io(`write -P 7 ${130 * CHUNK + 100} 5000`, `write -P 9 ${SIZE - 512} 512`, `read -P 7 ${130 * CHUNK + 100} 5000`, `write -z ${10 * CHUNK} ${2 * CHUNK}`, 'flush')
    await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', uri(), join(folder, 'seen')])
    const expected = changed([130 * CHUNK + 100, 5000, 7], [SIZE - 512, 512, 9], [10 * CHUNK, 2 * CHUNK, 0])
    expect(readFileSync(join(folder, 'seen')).equals(expected)).toBe(true)
    expect(await ended).toBe(0)
    expect(text()).toMatch(/disk\.raw is complete/)
    expect(readFileSync(target).equals(expected)).toBe(true)
    expect(statSync(target).blocks * 512).toBeLessThan(SIZE - 60 * CHUNK)
    expect(readdirSync(folder).sort()).toEqual(['disk.raw', 'seen', 'store'])
  })

  it.each(['SIGINT', 'SIGKILL'] as const)('%s in between: the same command goes on, and what was written stays', async (signal) => {
    const source = writeStore()
    const first = await start(source, '--rate', '1M')
    await io(`write -P 3 ${150 * CHUNK + 1} 700`, `write -P 4 0 ${CHUNK}`)
    first.child.kill(signal)
    expect(await first.ended).toBe(signal === 'SIGINT' ? 1 : null)
    if (signal === 'SIGINT') expect(first.text()).toMatch(/interrupted; the disk is not complete yet/)
    expect(existsSync(`${target}.map`)).toBe(true)
    const second = await start(source)
    expect(await second.ended).toBe(0)
    expect(readFileSync(target).equals(changed([150 * CHUNK + 1, 700, 3], [0, CHUNK, 4]))).toBe(true)
    expect(existsSync(`${target}.map`)).toBe(false)
  })

  it('serves on until its last user has gone', async () => {
    const { child, ended, text } = await start(writeStore())
    const user = spawn('qemu-io', ['-f', 'raw', uri()], { stdio: ['pipe', 'ignore', 'ignore'] })
    children.push(user)
    user.stdin.write('write -P 5 0 512\n')
    await waitUntil(() => text().includes('everything is copied') || child.exitCode !== null, 20_000)
    expect(child.exitCode).toBe(null)
    user.stdin.end('write -P 6 512 512\nquit\n')
    expect(await ended).toBe(0)
    expect(readFileSync(target).equals(changed([0, 512, 5], [512, 512, 6]))).toBe(true)
  })

  it('a file that is there, the map of another image, and what is no image are refused; nothing is lost', async () => {
    const source = writeStore()
    writeFileSync(target, 'mine')
    expect((await start(source)).text()).toMatch(/is there already, and no restore of it is under way/)
    expect(readFileSync(target, 'utf8')).toBe('mine')
    expect(existsSync(`${target}.map`)).toBe(false)
    const begun = await start(source, '--overwrite', '--rate', '1M')
    begun.child.kill('SIGINT')
    await begun.ended
    const other = await start(writeStore('other', noise(SIZE, 7)))
    expect(await other.ended).toBe(2)
    expect(other.text()).toMatch(/belongs to another image/)
    expect((await runProgram(process.execPath, [program, 'restore', `${folder}/store::vm/100`, target, '--live'])).err).toMatch(/--live is for disk images/)
  })
})

describe('a target that is in use', () => {
  it('nothing else may write to it meanwhile', async () => {
    const source = writeStore()
    const { ended } = await start(source, '--rate', '4M')
    for (const args of [['--changed'], ['--overwrite'], ['--live', '--overwrite']]) {
      const other = await runProgram(process.execPath, [program, 'restore', source, target, ...args])
      expect(other).toMatchObject({ code: 4, err: expect.stringMatching(/locked it; nothing was written|another restore is writing there/) as string })
    }
    expect(await ended).toBe(0)
    expect(readFileSync(target).equals(image)).toBe(true)
  })

  it('one that was replaced meanwhile is not said to be complete', async () => {
    const { ended, text } = await start(writeStore(), '--rate', '4M')
    renameSync(target, `${target}.old`)
    writeFileSync(target, 'mine')
    expect(await ended).toBe(1)
    expect(text()).toMatch(/was removed or replaced while it was restored/)
    expect(readFileSync(target, 'utf8')).toBe('mine')
  })
})

describeWith({ root: true, programs: { losetup: 'mount', 'qemu-io': 'qemu-utils' } }, 'onto a block device', () => {
  it('never what a loop device shows, nor a device that is mounted or a machine has', async () => {
    const source = writeStore()
    writeFileSync(target, Buffer.alloc(SIZE + 4096, 0xee))
    const file = target
    const device = (await runOk('losetup', ['--find', '--show', file])).trim()
    try {
      const behind = await start(source, '--overwrite')
      expect(await behind.ended).toBe(4)
      expect(behind.text()).toContain(`it is in use by ${device}; nothing was written`)
      const machine = spawn('qemu-io', ['-f', 'raw', device], { stdio: ['pipe', 'ignore', 'ignore'] })
      children.push(machine)
      target = device
      await waitUntil(() => readFileSync('/proc/locks', 'latin1').includes(` ${machine.pid} `) || /OFDLCK/.test(readFileSync('/proc/locks', 'latin1')), 20_000)
      for (const args of [['--live', '--overwrite'], ['--overwrite'], ['--changed']]) {
        const other = await runProgram(process.execPath, [program, 'restore', source, device, ...args])
        expect(other).toMatchObject({ code: 4, err: expect.stringContaining('as QEMU does while a machine runs; nothing was written') as string })
      }
      machine.stdin.end('quit\n')
      await new Promise((resolve) => machine.on('close', resolve))
    } finally {
      await runOk('losetup', ['-d', device])
    }
    expect(readFileSync(file).equals(Buffer.alloc(SIZE + 4096, 0xee))).toBe(true)
  })

  it('only with --overwrite; what lies behind stays', async () => {
    writeFileSync(join(folder, 'disk'), Buffer.alloc(SIZE + 512 * 100, 0xee))
    target = (await runOk('losetup', ['--find', '--show', join(folder, 'disk')])).trim()
    try {
      expect((await start(writeStore())).text()).toMatch(/is a block device; .* give --overwrite/)
      const { ended } = await start(writeStore('again'), '--overwrite', '--verify')
      expect(await ended).toBe(0)
    } finally {
      await runOk('losetup', ['-d', target])
    }
    const written = readFileSync(join(folder, 'disk'))
    expect(written.subarray(0, SIZE).equals(image)).toBe(true)
    expect(written.subarray(SIZE).every((byte) => byte === 0xee)).toBe(true)
  })
})
