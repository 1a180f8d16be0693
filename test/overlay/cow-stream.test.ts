import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BlockMap } from '#src/overlay/block-map.js'
import { CowDisk } from '#src/overlay/cow-disk.js'
import { CowStream } from '#src/overlay/cow-stream.js'
import { MemoryStream } from '../support/memory-stream.js'
import { PowerFile } from '../support/power-file.js'

const BLOCK = 512
const BLOCKS = 20
const SIZE = BLOCKS * BLOCK - 100
const header = { size: SIZE, blockSize: BLOCK, identity: 'image', image: 'vm/100/drive' }

async function open(): Promise<CowStream & { disk: CowDisk }> {
  const bytes = Buffer.alloc(SIZE, 1)
  const backup = new MemoryStream(bytes, { peeks: false })
  const disk = new CowDisk(backup, new PowerFile(SIZE, () => 0, 0xee), await BlockMap.create(new PowerFile(3 * 4096, () => 0), header, 'boot'))
  return Object.assign(new CowStream('disk', disk, backup), { disk })
}

/** Bytes that are told to be holes. */
function holesOf(stream: CowStream): boolean[] {
  const holes = new Array<boolean>(SIZE).fill(false)
  for (let at = 0; at < SIZE; ) {
    const data = stream.nextData(at)
    holes.fill(true, at, data)
    at = data === SIZE ? SIZE : stream.nextHole(data)
  }
  return holes
}

test('what was trimmed is a hole, what was written is none: whole blocks are found, and a hole is never anything but zeros', async () => {
  const change = fc.record({ kind: fc.constantFrom('write', 'zero', 'fill'), at: fc.nat(SIZE - 1), length: fc.integer({ min: 1, max: 5 * BLOCK }) })
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 12 }), fc.nat(SIZE - 1), async (changes, from) => {
      const stream = await open()
      for (const { kind, at, length: wanted } of changes) {
        const length = Math.min(wanted, SIZE - at)
        if (kind === 'write') await stream.disk.write(Buffer.alloc(length, 2), at)
        else if (kind === 'zero') await stream.disk.zero(at, length)
        else await stream.disk.fill(at, length)
      }
      const holes = holesOf(stream)
      const bytes = await stream.read(0, SIZE)
      expect(bytes.every((byte, i) => byte === 0 || !holes[i])).toBe(true)
      // From any place the same.
      const hole = holes.indexOf(true, from)
      expect(stream.nextHole(from)).toBe(hole < 0 ? SIZE : hole)
    }),
  )
  const stream = await open()
  await stream.disk.zero(3 * BLOCK - 10, 4 * BLOCK)
  await stream.disk.zero(15 * BLOCK, SIZE - 15 * BLOCK)
  await stream.disk.write(Buffer.from('x'), 4 * BLOCK + 7)
  const expected = new Array<boolean>(SIZE).fill(false).fill(true, 3 * BLOCK, 4 * BLOCK).fill(true, 5 * BLOCK, 6 * BLOCK).fill(true, 15 * BLOCK)
  expect(holesOf(stream)).toEqual(expected)
})
