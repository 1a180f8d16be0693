import { existsSync, mkdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { spawn } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { findMounts } from '#src/daemon/find-mounts.js'
import { leaveMount } from '#src/daemon/leave-mount.js'
import { readProcessId } from '#src/daemon/process-id.js'
import { listRecords, writeRecord, type MountRecord } from '#src/daemon/runtime-record.js'
import { BusyError, UsageError } from '#src/errors/errors.js'
import { FakeMountTable } from '../support/fake-mount-table.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const root = realpathSync(temporaryFolder())
let count = 0

/** A mountpoint with a record of a daemon: a process that ends when it is told to. */
function arrange({ alive = true, created = false, mounted = true } = {}) {
  const folder = temporaryFolder()
  const mountpoint = join(root, `m${count++}`)
  mkdirSync(mountpoint)
  const table = new FakeMountTable()
  if (mounted) table.add(mountpoint)
  const daemon = spawn('sleep', ['60'])
  const id = readProcessId(daemon.pid!)!
  if (!alive) daemon.kill('SIGKILL')
  const record: MountRecord = {
    ...id, startTime: alive ? id.startTime : '0', version: '1', mountpoint: Buffer.from(mountpoint).toString('hex'), source: '/s',
    driver: 'kernel', log: 'stderr', started: '2026-01-01T00:00:00.000Z', createdMountpoint: created,
  } // prettier-ignore
  writeRecord(folder, record)
  // As the real daemon does when its mount is gone.
  const unmount = table.unmount.bind(table)
  table.unmount = async (path, lazy) => {
    await unmount(path, lazy)
    daemon.kill('SIGKILL')
  }
  const leave = (path = mountpoint, lazy = false) =>
    leaveMount({ mountpoint: Buffer.from(path), cwd: Buffer.from(root), lazy }, table, folder)
  return { folder, mountpoint, table, daemon, record, leave }
}

describe('leaveMount', () => {
  test('unmounts and waits for the daemon', async () => {
    const { leave, mountpoint, record, folder } = arrange()
    expect(await leave()).toEqual({ mountpoint, wasDead: false })
    expect(readProcessId(record.pid)).toBeUndefined()
    expect(listRecords(folder)).toEqual([])
  })

  test('the mount of a dead daemon is removed, with the folder it had made', async () => {
    const { leave, mountpoint, table, folder } = arrange({ alive: false, created: true })
    table.dead.add(mountpoint)
    expect(await leave(mountpoint + '/')).toEqual({ mountpoint, wasDead: true })
    expect(table.calls).toEqual([`unmount lazy ${mountpoint}`])
    expect(existsSync(mountpoint)).toBe(false)
    expect(listRecords(folder)).toEqual([])
  })

  test('busy for a moment is waited for', async () => {
    const { leave, table, mountpoint } = arrange()
    table.busy = 2
    expect(await leave()).toEqual({ mountpoint, wasDead: false })
    expect(table.calls).toHaveLength(3)
  })

  test('busy for long: says by whom, and leaves the mount', async () => {
    const { leave, table, mountpoint, daemon } = arrange()
    table.busy = 99
    const user = spawn('sleep', ['60'], { cwd: mountpoint })
    try {
      const error: unknown = await leave().catch((failure: unknown) => failure)
      expect(error).toBeInstanceOf(BusyError)
      expect((error as BusyError).message).toContain(`sleep (process ${user.pid}, working directory)`)
      expect((error as BusyError).fields['remedy']).toContain('--lazy')
      expect(table.places).toHaveLength(1)
    } finally {
      user.kill('SIGKILL')
      daemon.kill('SIGKILL')
    }
  })

  test('lazy frees the path and says who still reads', async () => {
    const { leave, table, mountpoint, daemon } = arrange()
    table.busy = 99
    const unmount = FakeMountTable.prototype.unmount.bind(table)
    table.unmount = unmount
    const user = spawn('sleep', ['60'], { cwd: mountpoint })
    try {
      const result = await leave(mountpoint, true)
      expect(result.stillUsedBy).toContain(`process ${user.pid}`)
      expect(table.places).toHaveLength(0)
    } finally {
      user.kill('SIGKILL')
      daemon.kill('SIGKILL')
    }
  })

  test('what is no mount, or none of ours, is refused', async () => {
    const { leave, table, daemon } = arrange()
    await expect(leave('nothing-here')).rejects.toThrow('is not a mount')
    table.add(join(root, 'other'), 'ext4')
    await expect(leave('other')).rejects.toThrow('not of pbsfs (ext4)')
    await expect(leave('other')).rejects.toThrow(UsageError)
    daemon.kill('SIGKILL')
  })

  test('a daemon that is leaving is not cut off', async () => {
    const { leave, daemon, record } = arrange({ mounted: false })
    try {
      await expect(leave()).rejects.toThrow(`process ${record.pid} still serves`)
      expect(readProcessId(record.pid)).toBeDefined()
    } finally {
      daemon.kill('SIGKILL')
    }
  })

  test('a mount in another mount namespace is ended by its daemon', async () => {
    const { leave, table, mountpoint, record } = arrange({ mounted: false })
    const elsewhere = new FakeMountTable()
    elsewhere.add(mountpoint)
    table.list = (pid?: number) => (pid === record.pid ? elsewhere.list() : [])
    expect(await leave()).toEqual({ mountpoint, wasDead: false })
    expect(readProcessId(record.pid)).toBeUndefined()
  })
})

test('findMounts: silent, leaving, dead and unknown ones', async () => {
  const silent = arrange()
  const { folder, table } = silent
  const leaving = arrange({ mounted: false })
  const dead = arrange({ alive: false })
  for (const other of [leaving, dead]) writeRecord(folder, other.record)
  table.add(dead.mountpoint)
  table.add('/elsewhere')
  table.add('/corpse')
  table.dead.add('/corpse')
  table.add('/', 'ext4')
  const states = (await findMounts(table, folder)).map(({ mountpoint, state, pid }) => [mountpoint, state, pid])
  expect(states.sort()).toEqual(
    [
      [silent.mountpoint, 'silent', silent.record.pid],
      [leaving.mountpoint, 'leaving', leaving.record.pid],
      [dead.mountpoint, 'dead', dead.record.pid],
      ['/elsewhere', 'unknown', null],
      ['/corpse', 'dead', null],
    ].sort(),
  )
  for (const { daemon } of [silent, leaving]) daemon.kill('SIGKILL')
})
