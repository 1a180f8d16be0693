import { expect, test } from 'vitest'
import { PxarArchive } from '#src/pxar-decode/archive.js'
import { hasAttributes } from '#src/pxar-decode/has-attributes.js'
import { MemoryStream } from '../support/memory-stream.js'
import { dir, encodeArchive, file, hardlink, symlink, type SourceDir, type SourceStat } from '../support/pxar-encoder.js'

async function open(root: SourceDir): Promise<PxarArchive> {
  const { meta, payload } = encodeArchive(root, { split: true })
  return PxarArchive.open({ meta: new MemoryStream(meta), payload: new MemoryStream(payload!) })
}

function tree(more: SourceStat): SourceDir {
  const first = file('a', 'x')
  return dir('', [first, dir('b', [symlink('l', 'a'), hardlink('h', first, 'a'), { kind: 'char', name: Buffer.from('n'), major: 1, minor: 3 }, dir('c', [file('z', '', more)])])])
}

test('an archive of every kind of entry without attributes has none', async () => {
  expect(await hasAttributes(await open(tree({})))).toBe(false)
})

test('one attribute, capability or ACL entry anywhere is enough', async () => {
  const kinds: SourceStat[] = [{ xattrs: [['user.a', Buffer.from('1')]] }, { fcaps: Buffer.from('caps') }, { aclUsers: [[1000, 4]] }]
  for (const more of kinds) expect(await hasAttributes(await open(tree(more)))).toBe(true)
})

test('damage that hides what follows is an error, not a no', async () => {
  const first = file('a', 'x')
  const { meta, payload, places } = encodeArchive(dir('', [first, file('b', '', { fcaps: Buffer.from('caps') })]), { split: true })
  meta.writeBigUInt64LE(8n, places.get(first)! + 8)
  const archive = await PxarArchive.open({ meta: new MemoryStream(meta), payload: new MemoryStream(payload!) })
  await expect(hasAttributes(archive)).rejects.toThrow('size 8')
})
