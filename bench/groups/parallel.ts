import { spawn } from 'node:child_process'
import type { Bench } from '../measure/bench.js'
import type { Group } from '../measure/group.js'
import { childProgram, readFigures, timeShell } from '../measure/programs.js'
import { BIG_NAME } from '../writer/tree-plan.js'
import { archiveSubject } from './subjects.js'

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

/** Four readers at once, each with a quarter of the big file, while others ask for attributes. */
export function parallelGroup(bench: Bench): Group {
  const subject = archiveSubject(bench, 'split')
  const quarter = Math.floor(bench.params.tree.bigBytes / READERS / MiB)
  const readers = Array.from({ length: READERS }, (_, i) => {
    return `dd if=${BIG_NAME} of=/dev/null bs=1M skip=${i * quarter} count=${quarter} status=none &`
  })
  return {
    name: 'parallel',
    share: 6,
    runs: bench.params.runs,
    cases: [
      {
        rows: [{ id: 'parallel/read', unit: 'MB/s' }, { id: 'parallel/stat-p99', unit: 'ms' }],
        parts: subject.parts,
        measure: async (record) => {
          const { root, end } = await subject.open()
          try {
            const probe = await probeStats(bench, root)
            try {
              probe.start()
              const seconds = await timeShell(`${readers.join(' ')} wait`, root)
              record('parallel/read', (quarter * READERS * MiB) / MB / seconds)
            } finally {
              record('parallel/stat-p99', await probe.finish())
            }
          } finally {
            await end()
          }
        },
      },
    ],
  }
}
