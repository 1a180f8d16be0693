import { join } from 'node:path'
import type { Bench } from '../measure/bench.js'
import type { Case, Group } from '../measure/group.js'
import { askChild, runProgram, timeShell } from '../measure/programs.js'
import { baseParts } from '../params.js'
import { snapshotName } from '../writer/snapshot-writer.js'
import { IMAGE_NAME, PLACES, SNAPSHOT_TIME, type PartSpec } from '../writer/parts.js'
import { BIG_NAME } from '../writer/tree-plan.js'
import { withMappedImage } from './mapped-image.js'
import { withServedImage } from './served-image.js'
import { archiveSubject, imageSubject, plainSubject, type Subject } from './subjects.js'

const MB = 1e6

/** MB/s at which `dd` reads a file of `size` bytes. */
export async function readSpeed(path: string, size: number): Promise<number> {
  return size / MB / (await timeShell(`dd if='${path}' of=/dev/null bs=1M status=none`, '/'))
}

function readCase(subject: Subject, file: string, size: number): Case {
  const id = `seq/${subject.name}`
  const ids = subject.isMount ? [`${id}/cold`, `${id}/again`] : [id]
  return {
    rows: ids.map((row) => ({ id: row, unit: 'MB/s' })),
    parts: subject.parts,
    ...(subject.mostRuns === undefined ? {} : { mostRuns: subject.mostRuns }),
    measure: async (record) => {
      const { root, end } = await subject.open()
      try {
        const path = join(root, file)
        if (!subject.isMount) await readSpeed(path, size)
        for (const row of ids) record(row, await readSpeed(path, size))
      } finally {
        await end()
      }
    },
  }
}

/** What is read from start to end. */
export type Stream = 'split' | 'classic' | 'image' | 'encrypted'

/** Which index of the store holds the stream that a sequential or random reader reads. */
export function indexPath(bench: Bench, name: Stream): string {
  const store = PLACES.store(bench.folder)
  const time = snapshotName(SNAPSHOT_TIME)
  if (name === 'image' || name === 'encrypted') return join(store, 'vm', name, time, `${IMAGE_NAME}.fidx`)
  return join(store, 'host', name, time, name === 'split' ? 'root.ppxar.didx' : 'root.pxar.didx')
}

function decodeCase(bench: Bench, name: Stream, bytes: number, part: PartSpec): Case {
  const id = `seq/decode-${name}`
  return {
    rows: [{ id, unit: 'MB/s' }],
    parts: [part],
    measure: async (record) => {
      const { cacheBytes } = bench.params
      const setup = { store: PLACES.store(bench.folder), index: indexPath(bench, name), cacheBytes, bytes, ...(name === 'encrypted' ? { keyFile: PLACES.key(bench.folder) } : {}) }
      const { seconds, done } = await askChild('decode', setup, ['seconds', 'done'])
      record(id, done / MB / seconds)
    },
  }
}

function transportCase(bench: Bench, size: number): Case {
  return {
    rows: [{ id: 'seq/transport', unit: 'MB/s' }],
    parts: [],
    measure: async (record) => {
      const setup = { kind: 'memory', name: BIG_NAME, size, memoryBytes: bench.params.cacheBytes }
      const mount = await bench.mounts.served(setup, 'transport')
      try {
        record('seq/transport', await readSpeed(join(mount.path, BIG_NAME), size))
      } finally {
        await mount.end()
      }
    },
  }
}

function mapCase(bench: Bench): Case {
  return {
    rows: [{ id: 'seq/map/cold', unit: 'MB/s' }],
    parts: [baseParts(bench.params).image],
    measure: (record) =>
      withMappedImage(bench, async (device) => {
        record('seq/map/cold', await readSpeed(device, bench.params.imageBytes))
      }),
  }
}

function nbdCase(bench: Bench): Case {
  return {
    rows: [{ id: 'seq/nbd/cold', unit: 'MB/s' }],
    parts: [baseParts(bench.params).image],
    measure: (record) =>
      withServedImage(bench, async (uri) => {
        record('seq/nbd/cold', bench.params.imageBytes / MB / (await runProgram('nbdcopy', [uri, 'null:'])).seconds)
      }),
  }
}

/** One big file, read from its start to its end. */
export function sequentialGroup(bench: Bench, foreign: readonly Subject[]): Group {
  const { tree, imageBytes, runs } = bench.params
  const parts = baseParts(bench.params)
  const cases = [
    readCase(plainSubject(bench), BIG_NAME, tree.bigBytes),
    decodeCase(bench, 'split', tree.bigBytes, parts.split),
    transportCase(bench, tree.bigBytes),
    readCase(archiveSubject(bench, 'split'), BIG_NAME, tree.bigBytes),
    decodeCase(bench, 'classic', tree.bigBytes, parts.classic),
    readCase(archiveSubject(bench, 'classic'), BIG_NAME, tree.bigBytes),
    decodeCase(bench, 'image', imageBytes, parts.image),
    readCase(imageSubject(bench), IMAGE_NAME, imageBytes),
    decodeCase(bench, 'encrypted', imageBytes, parts.encrypted),
    readCase(imageSubject(bench, 'encrypted'), IMAGE_NAME, imageBytes),
    ...(bench.canMap ? [mapCase(bench)] : []),
    ...(bench.canCopyNbd ? [nbdCase(bench)] : []),
    ...foreign.map((subject) => readCase(subject, BIG_NAME, tree.bigBytes)),
  ]
  return { name: 'seq', share: 40, runs, cases }
}
