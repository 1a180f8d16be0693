import { expect, it } from 'vitest'
import { ArchiveSet } from '#src/tree/archive-set.js'
import { ROOT } from '#src/tree/tree.js'
import { MemoryStream } from '../support/memory-stream.js'
import { dir, encodeArchive, file } from '../support/pxar-encoder.js'

const MINUTE_MS = 60_000

it('archives that many enter at once stay open until they are answered; idle ones are closed later', async () => {
  let now = 0
  const set = new ArchiveSet((error) => expect.fail(String(error)), { now: () => now })
  const { meta } = encodeArchive(dir('', [file('a')]))
  const enter = (i: number) =>
    set.open(
      { key: `k${i}`, name: `n${i}`, openStreams: () => ({ meta: new MemoryStream(meta) }), countLinks: () => Promise.resolve(new Map()) },
      ROOT,
    )
  const numbers = (await Promise.all(Array.from({ length: 40 }, async (_, i) => enter(i)))).map(({ number }) => number)
  // The kernel refers to nothing in them yet: the answers are on their way.
  expect(numbers.map((number) => set.get(number)?.number)).toEqual(numbers)
  set.get(numbers[0]!)!.references++
  now += MINUTE_MS + 1
  await enter(40)
  expect(set.stats()).toEqual({ open: 1 + 16 + 1, entered: 41 })
  expect(set.get(numbers[0]!)).toBeDefined()
  set.close()
})
