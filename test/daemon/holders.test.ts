import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test, vi } from 'vitest'
import { describeHolders, findHolders } from '#src/daemon/holders.js'
import type { MountedPlace } from '#src/daemon/mount-table.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const folder = realpathSync(temporaryFolder())
const inside = join(folder, 'm')
mkdirSync(inside)
mkdirSync(join(folder, 'm-not'))
writeFileSync(join(inside, 'open'), '')
const children: ChildProcess[] = []
afterAll(() => children.forEach((child) => child.kill('SIGKILL')))

/** A device number that no mapped file has. */
const place = (mountpoint: string): MountedPlace => ({
  mountpoint: Buffer.from(mountpoint), type: 'fuse.pbsfs', source: Buffer.from('x'), major: 254, minor: 254,
}) // prettier-ignore

async function run(script: string, cwd: string): Promise<number> {
  const child = spawn('bash', ['-c', `${script} exec sleep 60`], { cwd })
  children.push(child)
  await vi.waitFor(() => expect(readFileSync(`/proc/${child.pid}/comm`, 'utf8')).toBe('sleep\n'), 5_000)
  return child.pid!
}

test('working directories and open files in the mount, and nothing beside it', async () => {
  const sits = await run('', inside)
  const reads = await run(`exec 7<'${join(inside, 'open')}';`, '/')
  const beside = await run('', join(folder, 'm-not'))
  const holders = findHolders(place(inside))
  expect(holders).toContainEqual({ pid: sits, name: 'sleep', uses: 'working directory' })
  expect(holders).toContainEqual({ pid: reads, name: 'sleep', uses: `file ${join(inside, 'open')}` })
  expect(holders.some(({ pid }) => pid === beside)).toBe(false)
  expect(describeHolders(holders)).toContain(`sleep (process ${reads}, file ${join(inside, 'open')})`)
})

test('a mount inside', () => {
  const places = [place('/'), place('/a'), place('/a/b'), place('/ab')]
  expect(findHolders(place('/a'), places)).toEqual([{ pid: undefined, name: 'mount', uses: 'mounted at /a/b' }])
  expect(describeHolders(findHolders(place('/a'), places))).toBe('mount (mounted at /a/b)')
})

test('nobody that may be seen', () => {
  expect(findHolders(place('/nowhere/at/all'))).toEqual([])
  expect(describeHolders([])).toBe('a process that this user may not see')
})
