/* Reads 4 KiB at random places of a file, one after the other; prints how long that took. */
import { closeSync, openSync, readSync } from 'node:fs'
import { RANDOM_READ_BYTES, randomOffsets } from '../measure/random-offsets.js'

export interface ReadRandomSetup {
  readonly path: string
  readonly size: number
  readonly seed: number
  readonly count: number
}

const setup = JSON.parse(process.argv[2]!) as ReadRandomSetup
const buffer = Buffer.alloc(RANDOM_READ_BYTES)
const fd = openSync(setup.path, 'r')
const began = performance.now()
for (const offset of randomOffsets(setup.seed, setup.count, setup.size)) {
  if (readSync(fd, buffer, 0, buffer.length, offset) !== buffer.length) throw new Error(`short read at ${offset}`)
}
const seconds = (performance.now() - began) / 1000
closeSync(fd)
process.stdout.write(JSON.stringify({ seconds }))
