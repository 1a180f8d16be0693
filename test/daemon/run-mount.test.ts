import { EventEmitter } from 'node:events'
import { existsSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { deferred } from '#src/daemon/deferred.js'
import { createLog } from '#src/daemon/log.js'
import { encodeBytes, type MountConfig } from '#src/daemon/mount-config.js'
import { runMount } from '#src/daemon/run-mount.js'
import type { SessionEnd } from '#src/daemon/messages.js'
import type { Session } from '#src/daemon/session.js'
import { MountError, SourceError } from '#src/errors/errors.js'
import { NO_MOUNT_OPTIONS } from '#src/fuse/mount-options.js'
import { FakeMountTable } from '../support/fake-mount-table.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const folder = realpathSync(temporaryFolder())
let count = 0

/** A session that is told what to do, and ends when its mount is gone, as the real one. */
class FakeSession implements Session {
  readonly #ready = deferred<void>()
  readonly #ended = deferred<SessionEnd>()
  readonly ready = this.#ready.promise
  readonly ended = this.#ended.promise
  readonly calls: string[] = []

  logTo(): void {}
  start(): void {
    this.calls.push('start')
  }
  answer(): void {
    this.#ready.resolve()
  }
  end(reason: SessionEnd): void {
    this.#ended.resolve(reason)
  }
  fail(error: Error): void {
    this.#ready.reject(error)
    this.#ended.reject(error)
  }
  async status(): Promise<undefined> {}
  stop(): void {
    this.calls.push('stop')
    this.end('stopped')
  }
  async terminate(): Promise<boolean> {
    this.calls.push('terminate')
    return true
  }
}

function arrange(driver: MountConfig['driver'] = 'kernel') {
  const mountpoint = join(folder, `m${count++}`)
  const table = new FakeMountTable()
  const session = new FakeSession()
  const signals = new EventEmitter()
  const log = createLog({ fd: 9999, maxBytes: 0 }, 'debug')
  const onReady = vi.fn()
  let leave: (() => Promise<void>) | undefined
  const unmount = table.unmount.bind(table)
  table.unmount = async (path, lazy) => {
    await unmount(path, lazy)
    if (!lazy) session.end('unmounted')
  }
  const config: MountConfig = {
    pbsfs: '1', source: { text: encodeBytes(Buffer.from('/s')), cwd: encodeBytes(Buffer.from('/')) },
    mountpoint: encodeBytes(Buffer.from(mountpoint)), options: NO_MOUNT_OPTIONS, cacheBytes: 1, decoders: 1, driver, log: { level: 'info' },
  } // prettier-ignore
  const run = (findSource = () => Promise.resolve({ paths: [], shown: '/s' })) =>
    runMount(config, { table, log, logName: 'stderr', session, signals, onReady, findSource, guardStart: () => Promise.resolve(() => undefined), onEmergency: (action) => (leave = action) })
  return { mountpoint, table, session, signals, log, onReady, run, leave: () => leave!() }
}

async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

describe('runMount', () => {
  test('reports when the mount answers, not before; ends with it and leaves nothing', async () => {
    const { run, session, onReady, mountpoint, table, signals } = arrange()
    const done = run()
    await settled()
    expect(existsSync(mountpoint)).toBe(true)
    expect(onReady).not.toHaveBeenCalled()
    session.answer()
    await vi.waitFor(() => expect(onReady).toHaveBeenCalledWith({ mountpoint, source: '/s', log: 'stderr', remarks: [] }))
    // Somebody unmounts.
    table.places.length = 0
    session.end('unmounted')
    expect(await done).toEqual({ clean: true, reason: 'unmounted' })
    expect(existsSync(mountpoint)).toBe(false)
    expect(signals.eventNames()).toEqual([])
    expect(table.calls.filter((call) => call.startsWith('unmount'))).toEqual([])
  })

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'])('%s unmounts', async (signal) => {
    const { run, session, table, signals, mountpoint, onReady } = arrange()
    const done = run()
    session.answer()
    await vi.waitFor(() => expect(onReady).toHaveBeenCalled())
    signals.emit(signal, signal)
    expect(await done).toEqual({ clean: true, reason: 'unmounted' })
    expect(table.calls.slice(2)).toEqual([`unmount ${mountpoint}`])
  })

  test('busy: says so, then frees the path and serves on; the second signal cuts off', async () => {
    const { run, session, table, signals, mountpoint, onReady, log } = arrange()
    table.busy = 1
    const done = run()
    session.answer()
    await vi.waitFor(() => expect(onReady).toHaveBeenCalled())
    signals.emit('SIGTERM', 'SIGTERM')
    await vi.waitFor(() => expect(table.calls.slice(2)).toEqual([`unmount ${mountpoint}`, `unmount lazy ${mountpoint}`]))
    expect(log.recent().join()).toContain('the mount is in use')
    expect(session.calls).not.toContain('stop')
    signals.emit('SIGTERM', 'SIGTERM')
    expect(await done).toEqual({ clean: true, reason: 'stopped' })
    expect(table.calls).toContain('abort 90')
    expect(session.calls).toContain('stop')
  })

  test('interrupted before it answers: unmounts, reports nothing', async () => {
    const { run, session, signals, onReady, mountpoint } = arrange()
    const done = run()
    await vi.waitFor(() => expect(session.calls).toContain('start'))
    signals.emit('SIGINT', 'SIGINT')
    session.fail(new MountError('gone'))
    await done.catch(() => undefined)
    expect(onReady).not.toHaveBeenCalled()
    expect(existsSync(mountpoint)).toBe(false)
  })

  test('a session that fails before it answers: its error, and no mount', async () => {
    const { run, session, table, mountpoint } = arrange()
    const done = run()
    await vi.waitFor(() => expect(session.calls).toContain('start'))
    const error = new SourceError('unreadable')
    session.fail(error)
    await expect(done).rejects.toBe(error)
    expect(table.calls.at(-1)).toBe(`unmount lazy ${mountpoint}`)
    expect(existsSync(mountpoint)).toBe(false)
  })

  test('a session that fails later: the same', async () => {
    const { run, session, table, mountpoint, onReady } = arrange()
    const done = run()
    session.answer()
    await vi.waitFor(() => expect(onReady).toHaveBeenCalled())
    session.fail(new Error('bug'))
    await expect(done).rejects.toThrow('bug')
    expect(table.places).toEqual([])
    expect(existsSync(mountpoint)).toBe(false)
  })

  test('aborted from outside: the dead mount is taken away', async () => {
    const { run, session, table, mountpoint, onReady } = arrange()
    const done = run()
    session.answer()
    await vi.waitFor(() => expect(onReady).toHaveBeenCalled())
    session.end('aborted')
    expect((await done).reason).toBe('aborted')
    expect(table.calls.at(-1)).toBe(`unmount lazy ${mountpoint}`)
  })

  test('a later mount at the same place is not touched', async () => {
    const { run, session, table, mountpoint, onReady } = arrange()
    const done = run()
    session.answer()
    await vi.waitFor(() => expect(onReady).toHaveBeenCalled())
    // Its device number can be the same: the kernel uses them again.
    table.places.length = 0
    table.add(mountpoint, 'fuse.pbsfs', 90)
    session.end('unmounted')
    await done
    expect(table.places).toHaveLength(1)
  })

  test('mounting fails: the folder that was made goes', async () => {
    const { run, table, session, mountpoint } = arrange()
    table.mount = () => Promise.reject(new MountError('not allowed'))
    await expect(run()).rejects.toThrow('not allowed')
    expect(existsSync(mountpoint)).toBe(false)
    expect(session.calls).not.toContain('start')
  })

  test('a wrong source is said before anything is made', async () => {
    const { run, mountpoint, table } = arrange()
    await expect(run(() => Promise.reject(new SourceError('no such store')))).rejects.toThrow('no such store')
    expect(existsSync(mountpoint)).toBe(false)
    expect(table.calls).toEqual([])
  })

  test('a driver that mounts by itself gets no channel', async () => {
    const { run, session, table, onReady } = arrange('fuse-native')
    const done = run()
    session.answer()
    await vi.waitFor(() => expect(onReady).toHaveBeenCalled())
    expect(table.calls).toEqual(['require fuse'])
    session.end('unmounted')
    await done
  })

  test('the emergency exit unmounts', async () => {
    const { run, session, leave, table, onReady, mountpoint } = arrange()
    const done = run()
    session.answer()
    await vi.waitFor(() => expect(onReady).toHaveBeenCalled())
    await leave()
    expect(table.places).toEqual([])
    expect(existsSync(mountpoint)).toBe(false)
    session.end('aborted')
    await done
  })
})
