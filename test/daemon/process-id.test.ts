import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { isAlive, readProcessId, waitForExit } from '#src/daemon/process-id.js'

test('this process lives; one that starts at another time under its number does not', () => {
  const own = readProcessId(process.pid)!
  expect(own.pid).toBe(process.pid)
  expect(isAlive(own)).toBe(true)
  expect(isAlive({ ...own, startTime: String(Number(own.startTime) + 1) })).toBe(false)
})

test('a program whose name looks like fields of stat is read right', async () => {
  const child = spawn('bash', ['-c', `exec -a x sleep 100`], { argv0: 'a) R 1 (b' })
  await once(child, 'spawn')
  const id = readProcessId(child.pid!)!
  expect(Number(id.startTime)).toBeGreaterThan(0)
  expect(await waitForExit(id, 50)).toBe(false)
  child.kill('SIGKILL')
  // A zombie, which node has not collected yet, counts as gone.
  expect(await waitForExit(id, 5_000)).toBe(true)
  expect(readProcessId(2 ** 22 + 1)).toBeUndefined()
})
