import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { main } from '#src/cli/main.js'
import { bootSector, sectorOf, textSector, type Ending } from '../support/boot-sector.js'
import { captureOutput } from '../support/captured-output.js'
import { DatastoreWriter, type BlobKind } from '../support/datastore-writer.js'
import { repoDir } from '../support/golden.js'
import { encodeKeyFile } from '../support/key-writer.js'
import { describeWith } from '../support/needs.js'
import { runOk } from '../support/run-program.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const folder = temporaryFolder()
const keyFile = join(folder, 'test.key')
writeFileSync(keyFile, encodeKeyFile())

const MIB = 1024 * 1024

/** Seconds since 1970: what is read would have another atime then. */
const LONG_AGO = 1e9
const CONFIG = `boot: order=scsi0;sata2
scsihw: virtio-scsi-pci
memory: 64
name: web-1
net0: virtio=AA:BB:CC:DD:EE:FF,bridge=vmbr0
scsi0: local:vm-100-disk-0,size=1M
sata2: local:vm-100-disk-1,size=1M
`

function disk(...sectors: readonly Buffer[]): Buffer {
  return Buffer.concat([Buffer.concat(sectors)], MIB)
}

const store = new DatastoreWriter(join(folder, 'store'))

function addMachine(id: string, ending: Ending, kind: BlobKind = 'zstd', config: string | null = CONFIG): string {
  const snapshot = store.snapshot({ type: 'vm', id }, '2026-01-02T00:00:00Z')
  snapshot.addImage('drive-scsi0.img.fidx', disk(bootSector(ending), textSector(0)), 65536, kind)
  snapshot.addImage('drive-sata2.img.fidx', disk(sectorOf('second disk\r\n')), 65536, kind)
  if (config !== null) snapshot.addBlob('qemu-server.conf.blob', Buffer.from(config), kind)
  snapshot.finish()
  return `${store.path}::vm/${id}/latest`
}

const machine = addMachine('100', 'reset')
const halting = addMachine('101', 'halt')
const encrypted = addMachine('102', 'reset', 'encrypted-zstd')
const unconfigured = addMachine('103', 'reset', 'zstd', null)

/** In software emulation, wherever the test runs. */
const EMULATED = ['--', '-accel', 'tcg', '-no-reboot', '-device', 'isa-debug-exit,iobase=0xf4,iosize=4']

/** Names, sizes, times and contents of all files of the store. The atime of chunks is what garbage collection goes by. */
function lookAtStore(): string[] {
  const entries = readdirSync(store.path, { recursive: true, withFileTypes: true }).map((entry) => ({ path: join(entry.parentPath, entry.name), isFile: entry.isFile() }))
  const stats = entries.map(({ path }) => statSync(path))
  const seen = entries.map(({ path, isFile }, i) => {
    const { size, mtimeMs, atimeMs, mode } = stats[i]!
    return `${path} ${mode} ${mtimeMs} ${isFile ? `${size} ${path.includes('/.chunks/') ? atimeMs : ''} ${createHash('sha256').update(readFileSync(path)).digest('hex')}` : ''}`
  })
  // This look does not count.
  for (const { path } of entries) utimesSync(path, LONG_AGO, LONG_AGO)
  return seen.sort()
}

interface Booted {
  readonly child: ChildProcess
  readonly texts: { out: string; err: string }
  readonly closed: Promise<number | NodeJS.Signals>
}

const running = new Map<ChildProcess, Promise<unknown>>()
afterAll(async () => {
  for (const [child, closed] of running) {
    child.kill('SIGTERM')
    await closed
  }
})

/** Where temporary overlays are made. */
const scratch = join(folder, 'tmp')
mkdirSync(scratch)

function start(...args: readonly string[]): Booted {
  const child = spawn(process.execPath, [join(repoDir, 'bin/pbsfs.js'), 'boot', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: scratch, DISPLAY: '', WAYLAND_DISPLAY: '' },
  })
  const texts = { out: '', err: '' }
  child.stdout.on('data', (bytes: Buffer) => (texts.out += bytes.toString('latin1')))
  child.stderr.on('data', (bytes: Buffer) => (texts.err += bytes.toString()))
  const closed = once(child, 'close').then(() => {
    running.delete(child)
    return child.exitCode ?? child.signalCode!
  })
  running.set(child, closed)
  return { child, texts, closed }
}

/** What the machine said on its serial port; the BIOS says things, too. */
async function run(...args: readonly string[]): Promise<{ said: string[]; err: string; code: number | NodeJS.Signals }> {
  const { texts, closed } = start(...args)
  const code = await closed
  return { said: texts.out.split(/[\r\n]+/).filter((line) => /^(?:run|second)/.test(line)), err: texts.err, code }
}

async function until(isSo: () => boolean, what: () => string): Promise<void> {
  for (let i = 0; !isSo(); i++) {
    if (i > 600) throw new Error(`it does not come: ${what()}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

describeWith({ programs: { 'qemu-system-x86_64': 'qemu-system-x86' } }, 'a machine from its backup', () => {
  it('starts, reads and writes; a kept overlay goes on, another start begins anew, and the backup never changes', async () => {
    lookAtStore()
    const before = lookAtStore()
    const kept = join(folder, 'kept')
    const first = await run(machine, '--run', '--overlay', kept, ...EMULATED)
    expect([first.said, first.code]).toEqual([['run 0', 'second disk'], 0])
    expect(first.err).toContain(`what is written to its 2 disks is kept in ${kept}\n`)
    expect(first.err).toContain('it has no network; --network gives it one\n')
    const second = await run(machine, '--run', '--overlay', kept, ...EMULATED)
    expect([second.said, second.code]).toEqual([['run 1', 'second disk'], 0])
    expect(second.err).toContain(`goes on with what was written to its 2 disks before, in ${kept}\n`)
    const anew = await run(machine, '--run', ...EMULATED)
    expect([anew.said, anew.code]).toEqual([['run 0', 'second disk'], 0])
    expect(anew.err).toContain('is lost at the end (--overlay FOLDER keeps it)')
    expect(readdirSync(scratch)).toEqual([])
    const overlay = readFileSync(join(kept, 'vm/100/2026-01-02T00:00:00Z/drive-scsi0.img'))
    expect(overlay.subarray(512, 519).toString()).toBe('run 2\r\n')
    expect(lookAtStore()).toEqual(before)
  })

  it('encrypted, with its key', async () => {
    expect(await run(encrypted, '--run', '--keyfile', keyFile, ...EMULATED)).toMatchObject({ said: ['run 0', 'second disk'], code: 0 })
    expect(await run(encrypted, '--run', ...EMULATED)).toMatchObject({ said: [], code: 5 })
  })

  it('without a configuration its disks tell of it', async () => {
    const { said, err, code } = await run(unconfigured, '--run', '--memory', '64M', ...EMULATED)
    expect([said, code]).toEqual([['run 0', 'second disk'], 0])
    expect(err).toContain('there is no configuration in the backup; memory, firmware and controllers are guessed\n')
  })

  it.each(['SIGTERM', 'SIGINT'] as const)('%s ends the machine, and leaves nothing', async (signal) => {
    const { child, texts, closed } = start(halting, '--run', ...EMULATED)
    await until(() => texts.out.includes('second disk'), () => texts.err) // prettier-ignore
    const screen = /VNC on (\S+);/.exec(texts.err)![1]!
    const qemu = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'latin1').trim()
    expect(qemu).toMatch(/^\d+$/)
    expect(existsSync(screen)).toBe(true)
    expect(readdirSync(scratch)).toHaveLength(1)
    child.kill(signal)
    expect(await closed).toBe(0)
    expect(existsSync(screen)).toBe(false)
    expect(existsSync(screen.replace('vnc-', 'nbd-'))).toBe(false)
    expect(existsSync(`/proc/${qemu}`)).toBe(false)
    expect(readdirSync(scratch)).toEqual([])
  })

  it('without --run the line is printed, and works in a shell', async () => {
    const socket = join(folder, "a b,'c.sock")
    const { child, texts, closed } = start(machine, '--socket', socket, '--network', ...EMULATED)
    await until(() => texts.err.includes('Ctrl-C ends that'), () => texts.err) // prettier-ignore
    expect(texts.out).toContain("-name 'guest=web-1 (from the backup)'")
    expect(texts.out).toContain('-nic user,model=virtio-net-pci,mac=AA:BB:CC:DD:EE:FF')
    expect(await runOk('/bin/bash', ['-c', texts.out])).toContain('run 0\r\nsecond disk')
    expect(await runOk('/bin/bash', ['-c', texts.out])).toContain('run 1\r\nsecond disk')
    child.kill('SIGTERM')
    expect(await closed).toBe(0)
    expect([existsSync(socket), readdirSync(scratch)]).toEqual([false, []])
  })

  it('a configuration that cannot be read is guessed, and says why', async () => {
    const damaged = addMachine('104', 'reset')
    const file = join(store.path, 'vm/104/2026-01-02T00:00:00Z/qemu-server.conf.blob')
    const bytes = readFileSync(file)
    bytes[bytes.length - 1]! ^= 1
    writeFileSync(file, bytes)
    const { err } = await run(damaged, '--run', '--', '-device', 'no-such-device')
    expect(err).toMatch(/^the configuration cannot be read: .*qemu-server\.conf.*; memory, firmware and controllers are guessed$/m)
  })

  it('overlays of another snapshot in the folder are named: this one begins without them', async () => {
    const kept = join(folder, 'older')
    mkdirSync(join(kept, 'vm/100/2026-01-01T00:00:00Z'), { recursive: true })
    const { err } = await run(machine, '--run', '--overlay', kept, '--', '-device', 'no-such-device')
    expect(err).toContain(`is kept in ${kept}; what was written to the snapshot 2026-01-01T00:00:00Z stays there, and this one begins without it\n`)
  })

  it('QEMU that does not start is a failure', async () => {
    const { err, code } = await run(machine, '--run', '--', '-device', 'no-such-device')
    expect([code, err]).toEqual([1, expect.stringMatching(/no-such-device[^]*qemu-system-x86_64 ended with 1; what it said is above\n$/)])
    expect(readdirSync(scratch)).toEqual([])
  })
})

it('QEMU that is not there: which package has it', async () => {
  const output = captureOutput()
  const path = process.env['PATH']
  process.env['PATH'] = folder
  try {
    expect(await main(['boot', machine, '--run'], output)).toBe(2)
  } finally {
    process.env['PATH'] = path
  }
  expect(output.texts.err).toContain('qemu-system-x86_64 is not installed\n  Install it: apt-get install qemu-system-x86\n')
})

it.each([
  ['ct/200/latest', 'pbsfs restore STORE::ct/200/latest/root.pxar FOLDER'],
  ['host/web/latest', 'the backup of a host has no disks'],
  ['vm/100', 'STORE::vm/100/latest'],
  ['', 'boot needs one snapshot'],
  ['vm/100/latest/drive-scsi0.img', 'boot takes all disks of a snapshot'],
])('%s is nothing to boot: it says what to do', async (selector, told) => {
  const output = captureOutput()
  expect(await main(['boot', `${store.path}::${selector}`], output)).toBe(2)
  expect(output.texts.err).toContain(told)
})

it('an overlay in the store is refused', async () => {
  const output = captureOutput()
  expect(await main(['boot', machine, '--run', '--overlay', join(store.path, 'vm/x')], output)).toBe(2)
  expect(output.texts.err).toContain(`lies in the datastore ${store.path}, which is never written to`)
})

it('what is not behind -- is not for QEMU; memory is a size', async () => {
  const output = captureOutput()
  expect(await main(['boot', machine, 'run'], output)).toBe(2)
  expect(output.texts.err).toContain('"run" is one argument too many; what is for QEMU stands behind --')
  expect(await main(['boot', machine, '--memory', '4'], output)).toBe(2)
  expect(output.texts.err).toContain('--memory: 4 is too little for any machine')
})
