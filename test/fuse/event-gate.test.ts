import { readFile } from 'node:fs/promises'
import { performance } from 'node:perf_hooks'
import { setImmediate as turn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import { DEVICE, EventGate, LOOP, WAKE_MESSAGE } from '#src/fuse/event-gate.js'
import { libc, openSocketPair } from '#src/fuse/libc.js'

const open: EventGate[] = []
const fds: number[] = []
afterEach(() => {
  for (const gate of open.splice(0)) gate.close()
  for (const fd of fds.splice(0)) libc().close(fd)
})

/** A gate on one end of a socket pair; the other end plays the kernel. */
async function openGate(options: { spinUs?: number; forceFallback?: boolean } = {}): Promise<{
  gate: EventGate
  device: number
  kernel: number
}> {
  const [device, kernel] = openSocketPair()
  fds.push(device, kernel)
  const gate = await EventGate.open(device, options)
  open.push(gate)
  return { gate, device, kernel }
}

/** Blocks through signals and time-outs (a test runner has timers) until something is due. */
function waitFor(gate: EventGate): number {
  for (let i = 0; i < 40; i++) {
    const ready = gate.wait(false)
    if (ready !== 0) return ready
  }
  return 0
}

/** Waits as a session does, until `done`; the milliseconds that took. */
async function serveUntil(gate: EventGate, done: () => boolean, busy = false): Promise<number> {
  const start = performance.now()
  while (!done()) {
    if (gate.mayBlock()) gate.wait(busy)
    await turn()
    if (performance.now() - start > 5000) throw new Error('never')
  }
  return performance.now() - start
}

describe('EventGate', () => {
  it('finds the epoll set of this thread', async () => {
    const { gate } = await openGate()
    expect(gate.canBlock).toBe(true)
  })

  it('tells the device from the event loop', async () => {
    const { gate, device, kernel } = await openGate()
    while (!gate.mayBlock()) await turn()
    libc().write(kernel, Buffer.from('x'), 1)
    expect(gate.wait(false)).toBe(DEVICE)
    expect(gate.look()).toBe(DEVICE)
    gate.wake()
    expect(gate.look()).toBe(DEVICE | LOOP)
    libc().read(device, Buffer.alloc(1), 1)
    expect(gate.look()).toBe(LOOP)
    await turn()
    await turn()
    expect(gate.look()).toBe(0)
  })

  it('sleeps when nothing is due, and for 50 ms at most while something is awaited', async () => {
    const { gate } = await openGate()
    while (!gate.mayBlock()) await turn()
    const cpu = process.cpuUsage()
    const start = performance.now()
    expect(gate.wait(true)).toBe(0)
    const busy = performance.now() - start
    expect(busy).toBeGreaterThan(30)
    expect(busy).toBeLessThan(500)
    const used = process.cpuUsage(cpu)
    expect(used.user + used.system).toBeLessThan(busy * 500)
  })

  it('wakes for a message from another thread', async () => {
    const { gate } = await openGate()
    const worker = new Worker(
      `const { parentPort } = require('node:worker_threads')
       parentPort.on('message', (n) => setTimeout(() => parentPort.postMessage(n + 1), 150))`,
      { eval: true },
    )
    let answer = 0
    worker.on('message', (value: number) => (answer = value))
    worker.postMessage(1)
    await serveUntil(gate, () => answer !== 0)
    expect(answer).toBe(2)
    // The second one finds the worker started: what is measured is the waking.
    answer = 0
    worker.postMessage(5)
    const ms = await serveUntil(gate, () => answer !== 0)
    expect(ms).toBeGreaterThan(100)
    expect(ms).toBeLessThan(400)
    await worker.terminate()
  })

  it('wakes for finished file operations, and does not hold up chains of promises and immediates', async () => {
    const { gate } = await openGate()
    let done = false
    const work = async (): Promise<void> => {
      for (let i = 0; i < 20; i++) {
        await readFile('/proc/self/stat')
        await turn()
        await turn()
      }
      done = true
    }
    void work()
    expect(await serveUntil(gate, () => done)).toBeLessThan(800)
  })

  it('is at most 50 ms late for a timer', async () => {
    const { gate } = await openGate()
    let fired = 0
    const start = performance.now()
    setTimeout(() => (fired = performance.now() - start), 20)
    await serveUntil(gate, () => fired !== 0)
    expect(fired).toBeLessThan(150)
  })

  it.each([false, true])('ends a wait when woken (slow path: %s)', async (forceFallback) => {
    const { gate } = await openGate({ forceFallback })
    expect(gate.canBlock).toBe(!forceFallback)
    const waker = new Worker(
      `const { workerData } = require('node:worker_threads')
       setTimeout(() => require('node:fs').writeSync(workerData.fd, workerData.bytes), 100)`,
      { eval: true, workerData: { fd: gate.wakeFd, bytes: WAKE_MESSAGE } },
    )
    const ended = new Promise((resolve) => waker.on('exit', resolve))
    const start = performance.now()
    if (forceFallback) {
      await gate.waitAsync()
    } else {
      while (!gate.mayBlock()) await turn()
      expect(waitFor(gate)).toBe(LOOP)
    }
    expect(performance.now() - start).toBeLessThan(900)
    await ended
    gate.wake()
    if (forceFallback) await gate.waitAsync()
    else expect(waitFor(gate)).toBe(LOOP)
  })

  it('looks again and again for a while when told to', async () => {
    const { gate, kernel } = await openGate({ spinUs: 200_000 })
    while (!gate.mayBlock()) await turn()
    libc().write(kernel, Buffer.from('x'), 1)
    expect(gate.wait(false)).toBe(DEVICE)
  })

  it('finds the set of a worker thread too, and lets it be terminated while it sleeps', async () => {
    const module = new URL('../../dist/fuse/event-gate.js', import.meta.url).href
    const [device, kernel] = openSocketPair()
    fds.push(device, kernel)
    const worker = new Worker(
      `const { parentPort } = require('node:worker_threads')
       import(${JSON.stringify(module)}).then(async ({ EventGate }) => {
         const gate = await EventGate.open(${device})
         parentPort.postMessage(gate.canBlock)
         const loop = () => { if (gate.mayBlock()) gate.wait(false); setImmediate(loop) }
         loop()
       })`,
      { eval: true },
    )
    const canBlock = await new Promise((resolve) => worker.once('message', resolve))
    expect(canBlock).toBe(true)
    await new Promise((resolve) => setTimeout(resolve, 100))
    const start = performance.now()
    await worker.terminate()
    expect(performance.now() - start).toBeLessThan(500)
  })
})
