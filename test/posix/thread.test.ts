import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'

const SCRIPT = `
  import { readdirSync, readFileSync } from 'node:fs'
  import { getPriority } from 'node:os'
  import { Worker } from 'node:worker_threads'
  import { compileLast } from '#src/posix/thread.js'
  const own = new Worker("require('node:fs').writeFileSync('/proc/thread-self/comm', 'pbsfs-own'); require('node:worker_threads').parentPort.on('message', () => 0).postMessage(0)", { eval: true, execArgv: [] })
  await new Promise((resolve) => own.once('message', resolve))
  compileLast()
  const threads = readdirSync('/proc/self/task').map((thread) => ({
    main: Number(thread) === process.pid,
    name: readFileSync('/proc/self/task/' + thread + '/comm', 'latin1').trim(),
    nice: getPriority(Number(thread)),
  }))
  console.log(JSON.stringify({ nice: getPriority(0), threads }))
  process.exit()
`

test('threads of the runtime go behind those that answer, which stay as they are', () => {
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', SCRIPT], { cwd: new URL('../..', import.meta.url), encoding: 'utf8' })
  const { nice, threads } = JSON.parse(output) as { nice: number; threads: { main: boolean; name: string; nice: number }[] }
  const ours = threads.filter(({ main, name }) => main || name === 'pbsfs-own')
  expect(ours.map((thread) => thread.nice)).toEqual([nice, nice])
  const runtime = threads.filter((thread) => thread.nice !== nice)
  expect(runtime.length).toBeGreaterThan(0)
  expect(runtime.every((thread) => thread.nice === Math.min(19, nice + 10))).toBe(true)
})
