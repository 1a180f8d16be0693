import { expect, test } from 'vitest'
import { ChunkUnavailableError, isPbsfsError } from '#src/errors/errors.js'
import { PxarArchive } from '#src/pxar-decode/archive.js'
import { createRecord, KIND_DIR, KIND_FILE } from '#src/pxar-decode/entry-record.js'
import { noise } from '../support/chunk-rig.js'
import { MemoryStream } from '../support/memory-stream.js'
import { dir, encodeArchive, file, symlink } from '../support/pxar-encoder.js'
import { makeRandom } from '../fuzz/mutate.js'

const bad = dir('m-bad', [file('x', noise(300, 3)), dir('below', [file('y', 'deep')]), symlink('l', 'x')], { xattrs: [['user.a', Buffer.from('b')]] })
const after = dir('n-good', [file('inner', noise(200, 5))])
const tree = dir('', [file('a', 'first'), bad, after, file('z', 'last')])
const OTHERS = ['/a', '/n-good', '/n-good/inner', '/z']

/** Paths outside of the bad directory that are listed, with the length of what can be read of files. */
async function survivors(meta: Buffer, payload: Buffer | undefined, onRead?: (offset: number, length: number) => void): Promise<string[]> {
  const options = onRead === undefined ? {} : { peeks: false, onRead }
  const archive = await PxarArchive.open({ meta: new MemoryStream(meta, options), ...(payload === undefined ? {} : { payload: new MemoryStream(payload) }) })
  const found: string[] = []
  const walk = async (end: number, path: string): Promise<void> => {
    const table = await archive.openDir(end)
    for (let i = 0; i < table.count; i++) {
      const record = createRecord()
      table.entryAt(i, record)
      const name = `${path}/${Buffer.from(table.nameAt(i)).toString('latin1')}`
      if (!OTHERS.includes(name)) {
        // In the damaged part anything goes, as long as errors are named.
        if (record.kind === KIND_DIR) await walk(record.end, `${name}!`).catch((error: unknown) => expect(isPbsfsError(error)).toBe(true))
        continue
      }
      found.push(name)
      if (record.kind === KIND_DIR) await walk(record.end, name)
      if (record.kind === KIND_FILE) {
        const { stream, start, size } = await archive.contentOf(record)
        expect((await stream.read(start, size)).length).toBe(record.size)
      }
    }
  }
  await walk(archive.rootEnd, '')
  return found.sort()
}

test.each([false, true])('whatever is changed inside a directory (split: %s), the others are listed and read', async (split) => {
  const { meta, payload, places } = encodeArchive(tree, { split })
  // Its name and attributes stay: those belong to the directory around it.
  const from = places.get(bad.children[0]!)!
  const to = places.get(after)!
  expect(await survivors(meta, payload)).toEqual(OTHERS)
  const random = makeRandom(11)
  for (let i = 0; i < 1500; i++) {
    const changed = Buffer.from(meta)
    for (let left = 1 + Math.floor(random() * 3); left > 0; left--) {
      const at = from + Math.floor(random() * (to - from))
      const length = Math.min(to - at, 1 + Math.floor(random() * 40))
      const kind = random()
      if (kind < 0.4) changed.fill(0, at, at + length)
      else if (kind < 0.7) changed[at]! ^= 1 << Math.floor(random() * 8)
      else changed.fill(0xff, at, at + length)
    }
    expect(await survivors(changed, payload)).toEqual(OTHERS)
  }
})

test.each([false, true])('whatever cannot be read inside a directory (split: %s), the others are listed and read', async (split) => {
  const { meta, payload, places } = encodeArchive(tree, { split })
  const from = places.get(bad.children[0]!)!
  const to = places.get(after)!
  for (let at = from; at < to; at += 7) {
    const lost = (offset: number, length: number): void => {
      if (offset < Math.min(to, at + 64) && offset + length > at) throw new ChunkUnavailableError('missing')
    }
    expect(await survivors(meta, payload, lost)).toEqual(OTHERS)
  }
})
