/*
 * Asks for attributes of names the kernel has not seen, one every few milliseconds, between a
 * line `go` on its input and the end of it; prints how long the answers took.
 */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { fileName, folderName } from '../writer/tree-plan.js'

export interface StatLatencySetup {
  readonly root: string
  readonly folders: number
  readonly filesPerFolder: number
}

const STEP_MS = 2

const setup = JSON.parse(process.argv[2]!) as StatLatencySetup
const total = setup.folders * setup.filesPerFolder
const times: number[] = []
let next = 0

function askOnce(): void {
  // From folder to folder, so that tables are looked up too.
  const folder = next % setup.folders
  const file = Math.floor(next / setup.folders) % setup.filesPerFolder
  if (++next > total) return
  const began = performance.now()
  statSync(join(setup.root, folderName(folder), fileName(file)))
  times.push(performance.now() - began)
}

let timer: NodeJS.Timeout | undefined
process.stdin.once('data', () => (timer = setInterval(askOnce, STEP_MS)))
process.stdin.once('end', () => {
  clearInterval(timer)
  if (times.length === 0) askOnce()
  times.sort((a, b) => a - b)
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))]!
  process.stdout.write(JSON.stringify({ count: times.length, median: at(0.5), p99: at(0.99), worst: times.at(-1) }))
})
process.stdout.write('ready\n')
