import { existsSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readProcessId } from '#src/daemon/process-id.js'
import { cleanRecords, listRecords, recordPath, removeRecord, socketPath, writeRecord, type MountRecord } from '#src/daemon/runtime-record.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const NO_PROCESS = 2 ** 22 + 1

function record(pid: number, mountpoint = '2f61', startTime = '1'): MountRecord {
  const started = new Date(pid).toISOString()
  return { pid, startTime, mountpoint, version: '1', source: '/s', driver: 'kernel', log: 'stderr', started, createdMountpoint: false }
}

test('a record is read back, with whether its daemon lives', () => {
  const folder = temporaryFolder()
  const own = { ...record(process.pid), ...readProcessId(process.pid)! }
  writeRecord(folder, own)
  writeRecord(folder, record(NO_PROCESS))
  // The number is in use, by a process that started at another time.
  writeRecord(folder, { ...record(1), startTime: 'x' })
  expect(listRecords(folder).map(({ record: { pid }, alive }) => [pid, alive])).toEqual([
    [1, false],
    [process.pid, true],
    [NO_PROCESS, false],
  ])
  removeRecord(folder, NO_PROCESS)
  removeRecord(folder, NO_PROCESS)
  expect(listRecords(folder)).toHaveLength(2)
})

test('files that are no record are passed over', () => {
  const folder = temporaryFolder()
  const own = record(7)
  const wrong: unknown[] = [null, 5, [], {}, { ...own, pid: 8 }, { ...own, mountpoint: 'zz' }, { ...own, started: 1 }, { ...own, pid: '7' }]
  for (const value of wrong) {
    writeFileSync(recordPath(folder, 7), JSON.stringify(value))
    expect(listRecords(folder)).toEqual([])
  }
  writeFileSync(recordPath(folder, 7), '{')
  writeFileSync(join(folder, 'mount-x.json'), JSON.stringify(own))
  expect(listRecords(folder)).toEqual([])
  writeFileSync(recordPath(folder, 7), JSON.stringify(own))
  expect(listRecords(folder)).toHaveLength(1)
})

test('a folder that is not there has no records', () => {
  expect(listRecords('/nonexistent')).toEqual([])
  expect(cleanRecords('/nonexistent', () => false)).toEqual([])
})

test('cleaning keeps living daemons, mounts without a daemon, and logs of today', () => {
  const folder = temporaryFolder()
  writeRecord(folder, { ...record(process.pid, '2f62'), ...readProcessId(process.pid)! })
  writeRecord(folder, record(NO_PROCESS, '2f61'))
  writeRecord(folder, record(NO_PROCESS + 1, '2f63'))
  // The place of a dead daemon that a living one has taken over.
  writeRecord(folder, record(NO_PROCESS + 2, '2f62'))
  const oldLog = join(folder, `mount-${NO_PROCESS + 3}.log`)
  const newLog = join(folder, `mount-${NO_PROCESS + 4}.log`)
  for (const path of [socketPath(folder, NO_PROCESS + 5), oldLog, newLog, join(folder, 'other')]) writeFileSync(path, '')
  utimesSync(oldLog, new Date(0), new Date(0))

  const removed = cleanRecords(folder, (mountpoint) => mountpoint.toString() !== '/c')
  expect(removed.map(({ pid }) => pid)).toEqual([NO_PROCESS + 1, NO_PROCESS + 2])
  expect(readdirSync(folder).sort()).toEqual(
    [`mount-${NO_PROCESS}.json`, `mount-${NO_PROCESS + 4}.log`, `mount-${process.pid}.json`, 'other'].sort(),
  )
  expect(existsSync(newLog)).toBe(true)
})

test('of many logs the newest are kept', () => {
  const folder = temporaryFolder()
  const log = (i: number) => `mount-${NO_PROCESS + i}.log`
  const seconds = Date.now() / 1000
  for (let i = 0; i < 40; i++) {
    writeFileSync(join(folder, log(i)), '')
    utimesSync(join(folder, log(i)), seconds - i, seconds - i)
  }
  writeFileSync(join(folder, `mount-${process.pid}.log`), '')
  utimesSync(join(folder, `mount-${process.pid}.log`), seconds - 100, seconds - 100)
  cleanRecords(folder, () => false)
  expect(readdirSync(folder).sort()).toEqual([...Array.from({ length: 32 }, (_, i) => log(i)), `mount-${process.pid}.log`].sort())
})
