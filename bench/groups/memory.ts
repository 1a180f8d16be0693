import { join } from 'node:path'
import { mountArgs, type Bench } from '../measure/bench.js'
import type { Group } from '../measure/group.js'
import { askChild, timeShell } from '../measure/programs.js'
import { baseParts } from '../params.js'
import { IMAGE_NAME, PLACES } from '../writer/parts.js'
import { BIG_NAME } from '../writer/tree-plan.js'

const MiB = 1024 * 1024

/** Everything on one mount of the whole store, one after the other: the most memory its process ever had. */
export function memoryGroup(bench: Bench): Group {
  const { split, classic, image } = baseParts(bench.params)
  const { tree, imageBytes, randomReads } = bench.params
  return {
    name: 'memory',
    share: 7,
    runs: 1,
    cases: [
      {
        rows: [{ id: 'memory/peak', unit: 'MiB' }],
        parts: [split, classic, image],
        measure: async (record) => {
          const mount = await bench.mounts.product(PLACES.store(bench.folder), 'everything', mountArgs(bench))
          try {
            for (const id of ['split', 'classic']) {
              const root = join(mount.path, 'host', id, 'latest', 'root.pxar')
              await timeShell(`find . -printf '%s %T@\\n' > /dev/null`, root)
              await timeShell(`tar cf - --exclude=./${BIG_NAME} . | cat > /dev/null`, root)
              const path = join(root, BIG_NAME)
              await askChild('read-random', { path, size: tree.bigBytes, seed: 1, count: Math.ceil(randomReads / 4) }, ['seconds'])
              await timeShell(`for i in 1 2 3 4; do dd if=${BIG_NAME} of=/dev/null bs=1M status=none & done; wait`, root)
            }
            const path = join(mount.path, 'vm/image/latest', IMAGE_NAME)
            await askChild('read-random', { path, size: imageBytes, seed: 1, count: Math.ceil(randomReads / 4) }, ['seconds'])
            await timeShell(`dd if='${path}' of=/dev/null bs=1M status=none`, '/')
            record('memory/peak', mount.peakBytes() / MiB)
          } finally {
            await mount.end()
          }
        },
      },
    ],
  }
}
