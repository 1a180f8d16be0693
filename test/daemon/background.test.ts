import { spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, readFileSync, readdirSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { exitCodeOf } from '#src/cli/exit-codes.js'
import { INHERITED_CHANNEL, startDaemon, WAIT_NOTICE_MS, type StartedMount } from '#src/daemon/background.js'
import { findMounts, findRecord } from '#src/daemon/find-mounts.js'
import { kernelMountTable } from '#src/daemon/kernel-mount-table.js'
import { leaveMount } from '#src/daemon/leave-mount.js'
import { encodeBytes, type MountConfig } from '#src/daemon/mount-config.js'
import { findMount } from '#src/daemon/mount-table.js'
import { isAlive, readProcessId, waitForExit } from '#src/daemon/process-id.js'
import { openRuntimeFolder } from '#src/daemon/runtime-folder.js'
import { FormatError, MountError, UsageError } from '#src/errors/errors.js'
import { NO_MOUNT_OPTIONS } from '#src/fuse/mount-options.js'
import { repoDir } from '../support/golden.js'
import { describeWith } from '../support/needs.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const fakeDaemon = join(repoDir, 'test/support/fake-daemon.mjs')
const folder = realpathSync(temporaryFolder())
let count = 0
const started: StartedMount[] = []

function configFor(mountpoint: string): MountConfig {
  return {
    pbsfs: '0.0.0', source: { text: encodeBytes(Buffer.from('/nowhere')), cwd: encodeBytes(Buffer.from('/')) },
    mountpoint: encodeBytes(Buffer.from(mountpoint)), options: NO_MOUNT_OPTIONS, cacheBytes: 1, decoders: 1, driver: 'kernel',
    log: { level: 'info' },
  } // prettier-ignore
}

async function start(behaviour = 'serve', mountpoint = join(folder, `m${count++}`)): Promise<StartedMount> {
  vi.stubEnv('PBSFS_FAKE', behaviour)
  const mount = await startDaemon(fakeDaemon).mount(configFor(mountpoint))
  started.push(mount)
  return mount
}

const isMounted = (mountpoint: string) => findMount(kernelMountTable.list(), Buffer.from(mountpoint)) !== undefined
const leave = (mountpoint: string, lazy = false) =>
  leaveMount({ mountpoint: Buffer.from(mountpoint), cwd: Buffer.from('/'), lazy }, kernelMountTable)

afterEach(async () => {
  vi.unstubAllEnvs()
  for (const { mountpoint, pid } of started.splice(0)) {
    if (isMounted(mountpoint)) await leave(mountpoint, true)
    const id = readProcessId(pid)
    if (id !== undefined && !(await waitForExit(id, 3_000))) process.kill(pid, 'SIGKILL')
  }
})

/** Files of one daemon in the runtime folder. */
const filesOf = (pid: number) => readdirSync(openRuntimeFolder()).filter((name) => name.includes(`-${pid}.`))

describeWith({ fuse: true }, 'a daemon in the background', () => {
  test('says when the mount answers, and serves on by itself', async () => {
    vi.stubEnv('NODE_EXTRA_CA_CERTS', '/etc/ssl/certs/ca-certificates.crt')
    const { pid, mountpoint, log } = await start()
    expect(statSync(mountpoint).isDirectory()).toBe(true)
    // Its own session: a signal to the starter's terminal does not reach it.
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ')
    expect(Number(fields[3])).toBe(pid)
    const environment = readFileSync(`/proc/${pid}/environ`, 'latin1')
    expect(environment).toContain('UV_THREADPOOL_SIZE=')
    expect(environment).not.toContain('NODE_EXTRA_CA_CERTS')
    expect(readFileSync(`/proc/${pid}/cmdline`, 'latin1')).not.toContain('nowhere')
    expect(readFileSync(log, 'utf8')).toContain(`info mounted path=${mountpoint}`)
    expect(filesOf(pid).sort()).toEqual([`mount-${pid}.json`, `mount-${pid}.log`, `mount-${pid}.sock`])

    const status = (await findMounts(kernelMountTable)).find((mount) => mount.mountpoint === mountpoint)!
    expect(status).toMatchObject({ state: 'running', pid, source: '/nowhere', driver: 'kernel', log })
    expect(status.session!.cache).toEqual({ limitBytes: 1, usedBytes: 1024, chunks: 1, hits: 2, misses: 3 })
    expect(status.recent[0]).toMatch(/ warn fake session name="a b"$/)

    expect(await leave(mountpoint)).toEqual({ mountpoint, wasDead: false })
    expect(existsSync(mountpoint)).toBe(false)
    expect(filesOf(pid)).toEqual([])
  })

  test.each([
    ['fail', FormatError, 3, 'no datastore'],
    ['crash', Error, 1, 'crashed at the start'],
    ['exit', Error, 1, 'ended without a word'],
  ])('a session that does: %s', async (behaviour, type, code, message) => {
    const mountpoint = join(folder, `m${count++}`)
    const before = readdirSync(openRuntimeFolder())
    const error: unknown = await start(behaviour, mountpoint).catch((failure: unknown) => failure)
    expect(error).toBeInstanceOf(type)
    expect((error as Error).message).toContain(message)
    expect(exitCodeOf(error)).toBe(code)
    expect(isMounted(mountpoint)).toBe(false)
    await vi.waitFor(() => expect(existsSync(mountpoint)).toBe(false))
    await vi.waitFor(() => expect(readdirSync(openRuntimeFolder()).filter((name) => !before.includes(name) && name.startsWith('start'))).toEqual([])) // prettier-ignore
  })

  test('a place that cannot be mounted on', async () => {
    await expect(start('serve', '/etc/passwd')).rejects.toThrow(UsageError)
    const { mountpoint } = await start()
    await expect(start('serve', mountpoint)).rejects.toThrow('is a mount already')
  })

  test('a daemon that is killed before it reports', async () => {
    vi.stubEnv('PBSFS_FAKE', 'never')
    const daemon = startDaemon(fakeDaemon)
    const mountpoint = join(folder, `m${count++}`)
    const waits: number[] = []
    const mounting = daemon.mount(configFor(mountpoint), (seconds) => waits.push(seconds)).catch((failure: unknown) => failure)
    await vi.waitFor(() => expect(isMounted(mountpoint)).toBe(true), 10_000)
    // Who waits is told.
    await vi.waitFor(() => expect(waits).toEqual([WAIT_NOTICE_MS / 1000]), WAIT_NOTICE_MS + 3_000)
    process.kill(daemon.pid, 'SIGKILL')
    const error = await mounting
    expect(error).toBeInstanceOf(MountError)
    expect((error as MountError).message).toContain('died at its start (SIGKILL)')
    expect(await leave(mountpoint)).toEqual({ mountpoint, wasDead: true })
  })

  test('no mount after all: it goes', async () => {
    const daemon = startDaemon(fakeDaemon)
    const id = readProcessId(daemon.pid)!
    daemon.dismiss()
    expect(await waitForExit(id, 10_000)).toBe(true)
    expect(filesOf(daemon.pid)).toEqual([])
  })

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s ends it', async (signal) => {
    const { pid, mountpoint } = await start()
    const id = readProcessId(pid)!
    process.kill(pid, signal)
    expect(await waitForExit(id, 10_000)).toBe(true)
    expect(isMounted(mountpoint)).toBe(false)
    expect(existsSync(mountpoint)).toBe(false)
  })

  test('in use: umount names the user; SIGTERM frees the path and serves on; a second one ends it', async () => {
    const { pid, mountpoint, log } = await start()
    const id = readProcessId(pid)!
    const user = spawn('sleep', ['60'], { cwd: mountpoint })
    await vi.waitFor(() => expect(readFileSync(`/proc/${user.pid}/comm`, 'utf8')).toBe('sleep\n'))
    await expect(leave(mountpoint)).rejects.toThrow(`sleep (process ${user.pid}, working directory)`)
    process.kill(pid, 'SIGTERM')
    await vi.waitFor(() => expect(isMounted(mountpoint)).toBe(false), 5_000)
    await vi.waitFor(() => expect(readFileSync(log, 'utf8')).toContain(`sleep (process ${user.pid}, working directory)`))
    expect(isAlive(id)).toBe(true)
    process.kill(pid, 'SIGTERM')
    expect(await waitForExit(id, 10_000)).toBe(true)
    user.kill('SIGKILL')
  })

  test('killed: the next mount at the same place cleans up, and still removes the folder that was made', async () => {
    const first = await start()
    process.kill(first.pid, 'SIGKILL')
    await waitForExit({ pid: first.pid, startTime: readProcessId(first.pid)?.startTime ?? '' }, 5_000)
    const second = await start('serve', first.mountpoint)
    expect(findRecord(Buffer.from(first.mountpoint))!.record.pid).toBe(second.pid)
    expect(kernelMountTable.list().filter(({ mountpoint }) => mountpoint.toString() === first.mountpoint)).toHaveLength(1)
    await leave(first.mountpoint)
    expect(existsSync(first.mountpoint)).toBe(false)
    expect(filesOf(first.pid).filter((name) => !name.endsWith('.log'))).toEqual([])
  })

  test('a fault later: logged, and the mount is taken away', async () => {
    const { pid, mountpoint, log } = await start('throw-later')
    const id = readProcessId(pid)
    if (id !== undefined) expect(await waitForExit(id, 10_000)).toBe(true)
    expect(isMounted(mountpoint)).toBe(false)
    expect(readFileSync(log, 'utf8')).toContain('thrown later')
  })

  test('a session that does not answer is silent, and does not hold up who asks', async () => {
    const { mountpoint } = await start('mute')
    const before = performance.now()
    const status = (await findMounts(kernelMountTable)).find((mount) => mount.mountpoint === mountpoint)!
    expect(status.state).toBe('silent')
    expect(performance.now() - before).toBeLessThan(5_000)
  })

  test.skipIf(process.geteuid!() !== 0)('serves a channel that was mounted before (skipped: only root can mount for it)', async () => {
    const mountpoint = join(folder, `m${count++}`)
    mkdirSync(mountpoint)
    const { fd } = await kernelMountTable.mount({ mountpoint: Buffer.from(mountpoint), source: 'x', options: NO_MOUNT_OPTIONS })
    const { pid } = await startDaemon(fakeDaemon, fd).mount(configFor(INHERITED_CHANNEL))
    closeSync(fd)
    expect(statSync(mountpoint).isDirectory()).toBe(true)
    const id = readProcessId(pid)!
    await kernelMountTable.unmount(Buffer.from(mountpoint), false)
    expect(await waitForExit(id, 10_000)).toBe(true)
    expect(existsSync(mountpoint)).toBe(true)
  })

  test('many times: nothing stays', async () => {
    for (let i = 0; i < 5; i++) {
      const { mountpoint, pid } = await start()
      await leave(mountpoint)
      expect(filesOf(pid)).toEqual([])
      expect(existsSync(mountpoint)).toBe(false)
    }
  })
})
