import { join } from 'node:path'
import type { Bench } from '../measure/bench.js'
import type { Case, Group } from '../measure/group.js'
import { askChild } from '../measure/programs.js'
import { baseParts } from '../params.js'
import { IMAGE_NAME, PLACES, type PartSpec } from '../writer/parts.js'
import { BIG_NAME } from '../writer/tree-plan.js'
import { withMappedImage } from './mapped-image.js'
import { indexPath } from './sequential.js'
import { archiveSubject, imageSubject, plainSubject, type Subject } from './subjects.js'

const MS = 1000
/** Seed of the first run; each run reads elsewhere. */
const SEED = 100

async function readRandomly(bench: Bench, path: string, size: number, run: number): Promise<number> {
  const count = bench.params.randomReads
  const { seconds } = await askChild('read-random', { path, size, seed: SEED + run, count }, ['seconds'])
  return (seconds * MS) / count
}

function readCase(bench: Bench, subject: Subject, file: string, size: number): Case {
  const id = subject.isMount ? `random/${subject.name}/cold` : `random/${subject.name}`
  return {
    rows: [{ id, unit: 'ms' }],
    parts: subject.parts,
    ...(subject.mostRuns === undefined ? {} : { mostRuns: subject.mostRuns }),
    measure: async (record, run) => {
      const { root, end } = await subject.open()
      try {
        record(id, await readRandomly(bench, join(root, file), size, run))
      } finally {
        await end()
      }
    },
  }
}

/** The chunks that the same reads need, decoded one after the other. */
function decodeCase(bench: Bench, name: 'split' | 'classic' | 'image', bytes: number, part: PartSpec): Case {
  const id = `random/decode-${name}`
  return {
    rows: [{ id, unit: 'ms' }],
    parts: [part],
    measure: async (record, run) => {
      const { cacheBytes, randomReads: count } = bench.params
      const setup = { store: PLACES.store(bench.folder), index: indexPath(bench, name), cacheBytes, bytes, random: { seed: SEED + run, count } }
      const { seconds } = await askChild('decode', setup, ['seconds'])
      record(id, (seconds * MS) / count)
    },
  }
}

function mapCase(bench: Bench): Case {
  return {
    rows: [{ id: 'random/map/cold', unit: 'ms' }],
    parts: [baseParts(bench.params).image],
    measure: (record, run) =>
      withMappedImage(bench, async (device) => {
        record('random/map/cold', await readRandomly(bench, device, bench.params.imageBytes, run))
      }),
  }
}

/** 4 KiB at random places of one big file, one after the other: milliseconds each. */
export function randomGroup(bench: Bench, foreign: readonly Subject[]): Group {
  const { tree, imageBytes, runs } = bench.params
  const parts = baseParts(bench.params)
  const cases = [
    readCase(bench, plainSubject(bench), BIG_NAME, tree.bigBytes),
    decodeCase(bench, 'split', tree.bigBytes, parts.split),
    readCase(bench, archiveSubject(bench, 'split'), BIG_NAME, tree.bigBytes),
    decodeCase(bench, 'classic', tree.bigBytes, parts.classic),
    readCase(bench, archiveSubject(bench, 'classic'), BIG_NAME, tree.bigBytes),
    decodeCase(bench, 'image', imageBytes, parts.image),
    readCase(bench, imageSubject(bench), IMAGE_NAME, imageBytes),
    ...(bench.canMap ? [mapCase(bench)] : []),
    ...foreign.map((subject) => readCase(bench, subject, BIG_NAME, tree.bigBytes)),
  ]
  return { name: 'random', share: 16, runs, cases }
}
