import { spawn } from 'node:child_process'
import type { Bench } from '../measure/bench.js'
import type { Group } from '../measure/group.js'
import { childProgram, readFigures, timeShell } from '../measure/programs.js'
import { BIG_NAME } from '../writer/tree-plan.js'
import { archiveSubject, type Subject } from './subjects.js'

const READERS = 4
const MiB = 1024 * 1024
const MB = 1e6

interface StatProbe {
  start(): void
  /** Milliseconds at the 99th percentile since `start`. */
  finish(): Promise<number>
}

/** A process that asks for attributes of names nobody looked up before, steadily. */
async function probeStats(bench: Bench, root: string): Promise<StatProbe> {
  const { folders, filesPerFolder } = bench.params.tree
  const child = spawn(process.execPath, childProgram('stat-latency', { root, folders, filesPerFolder }), {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let output = ''
  const closed = new Promise<void>((resolve) => child.on('close', () => resolve()))
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (text: Buffer) => {
      output += text.toString()
      if (output.startsWith('ready\n')) resolve()
    })
    child.on('exit', () => reject(new Error('the process that asks for attributes ended')))
  })
  return {
    start: () => child.stdin.write('go\n'),
    finish: async () => {
      child.stdin.end()
      await closed
      return readFigures(JSON.parse(output.slice('ready\n'.length)), ['p99']).p99
    },
  }
}

/** MB/s of all who read the big file of a fresh mount; `beside`: what else is done meanwhile. */
async function readBy(subject: Subject, readers: readonly string[], bytes: number, beside?: (root: string, read: () => Promise<void>) => Promise<void>): Promise<number> {
  const { root, end } = await subject.open()
  try {
    let seconds = 0
    const read = async (): Promise<void> => void (seconds = await timeShell(`${readers.join(' ')} wait`, root))
    await (beside === undefined ? read() : beside(root, read))
    return bytes / MB / seconds
  } finally {
    await end()
  }
}

/** One reader and four at once, each with a quarter of the big file; then four while others ask for attributes. */
export function parallelGroup(bench: Bench): Group {
  const subject = archiveSubject(bench, 'split')
  const quarter = Math.floor(bench.params.tree.bigBytes / READERS / MiB)
  const bytes = quarter * READERS * MiB
  const reader = (skip: number, count: number): string => `dd if=${BIG_NAME} of=/dev/null bs=1M skip=${skip} count=${count} status=none &`
  const four = Array.from({ length: READERS }, (_, i) => reader(i * quarter, quarter))
  const { parts } = subject
  return {
    name: 'parallel',
    share: 10,
    runs: bench.params.runs,
    cases: [
      {
        rows: [{ id: 'parallel/one', unit: 'MB/s' }],
        parts,
        measure: async (record) => record('parallel/one', await readBy(subject, [reader(0, READERS * quarter)], bytes)),
      },
      {
        rows: [{ id: 'parallel/four', unit: 'MB/s' }],
        parts,
        measure: async (record) => record('parallel/four', await readBy(subject, four, bytes)),
      },
      {
        rows: [{ id: 'parallel/four-beside-stat', unit: 'MB/s' }, { id: 'parallel/stat-p99', unit: 'ms' }],
        parts,
        measure: async (record) => {
          const speed = await readBy(subject, four, bytes, async (root, read) => {
            const probe = await probeStats(bench, root)
            try {
              probe.start()
              await read()
            } finally {
              record('parallel/stat-p99', await probe.finish())
            }
          })
          record('parallel/four-beside-stat', speed)
        },
      },
    ],
  }
}
