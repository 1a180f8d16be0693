import { createHash } from 'node:crypto'
import { createReadStream, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { goldenDir, repoDir } from '../support/golden.js'
import { MountRig } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { runOk } from '../support/run-program.js'

const golden = goldenDir() ?? ''
const READERS = 16

let rig: MountRig
beforeEach(() => {
  rig = new MountRig()
})
afterEach(() => rig.cleanUp())

describeWith({ fuse: true, golden: true, programs: { python3: 'python3' } }, 'many readers with a small cache', () => {
  it('16 processes read the same and different images from end to end', async () => {
    const { path } = await rig.mount(join(golden, 'store::vm/100/2023-12-09T12:00:00Z'), { args: ['--cache-size', '64M'] })
    const truth = readFileSync(join(golden, 'truth/vm-100-1.jsonl'), 'utf8').trim().split('\n')
      .map((line) => JSON.parse(line) as { archive?: string; sha256: string }) // prettier-ignore
    const images = ['drive-scsi0.img', 'drive-scsi1.img', 'drive-scsi2.img', 'drive-virtio0.img']
    const results = await Promise.all(
      Array.from({ length: READERS }, async (_, i) => {
        const image = images[i % images.length]!
        return [image, (await runOk('sha256sum', [join(path, image)])).split(' ')[0]]
      }),
    )
    const expected = Array.from({ length: READERS }, (_, i) => {
      const image = images[i % images.length]!
      return [image, truth.find(({ archive }) => archive === `${image}.fidx`)!.sha256]
    })
    expect(results).toEqual(expected)
    const status = JSON.parse(readFileSync(join(path, '.pbsfs/status'), 'utf8')) as { cache: Record<string, number>; errors: { count: number } }
    expect(status.cache['usedBytes']!).toBeLessThanOrEqual(64 << 20)
    expect(status.errors.count).toBe(0)
  })

  it('16 processes read pieces of one image here and there, while others list and stat', async () => {
    const { path } = await rig.mount(join(golden, 'store'), { args: ['--cache-size', '64M', '-o', 'max_read=131072'] })
    const image = join(path, 'vm/100/2023-12-09T12:00:00Z/drive-scsi2.img')
    const copy = rig.at('copy.img')
    await runOk('cp', [image, copy])
    expect(await digest(copy)).toBe('a14fdeb059c45ccfd270d5f6c685efa2e28f9193950adaf92abdf168943279c2')
    const size = statSync(copy).size
    const script = join(repoDir, 'test/support/read-pieces.py')
    const readers = Array.from({ length: READERS }, (_, seed) => runOk('python3', [script, image, copy, String(size), String(seed)]))
    const walkers = [1, 2].map(() => runOk('find', [join(path, 'host/tricky'), '-ls']))
    for (const out of await Promise.all(readers)) expect(out).toBe('200 pieces are equal\n')
    for (const out of await Promise.all(walkers)) expect(out.split('\n').length).toBeGreaterThan(30_000)
  })
})

async function digest(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
