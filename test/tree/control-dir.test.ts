import { expect, it } from 'vitest'
import { ControlDir } from '#src/tree/control-dir.js'
import { LinkNode } from '#src/tree/file-nodes.js'
import { NodeRegistry } from '#src/tree/node-registry.js'
import { ROOT, type DirSink } from '#src/tree/tree.js'

const owner = { uid: 0, gid: 0 }
const parent = new LinkNode(ROOT, undefined, '', owner, Buffer.from('.'), 0)

function controlDir(): { folder: ControlDir; registry: NodeRegistry } {
  let text = ''
  const registry = new NodeRegistry()
  // Longer each time it is written.
  const files = { status: async () => (text += 'x'), errors: () => '' }
  const folder = registry.intern('.pbsfs', (id) => new ControlDir(id, parent, registry, owner, files))
  return { folder, registry }
}

it('a file is written when it is looked up, and stays the same for who reads it', async () => {
  const { folder, registry } = controlDir()
  for (const length of [1, 2, 3]) {
    const entry = (await folder.lookup(Buffer.from('status')))!
    expect([entry.attr.size, entry.attr.ttl, entry.entryTtl]).toEqual([length, 0, 0])
    const node = registry.get({ hi: entry.idHi, lo: entry.idLo })!
    for (let again = 0; again < 3; again++) {
      expect((await node.getattr()).size).toBe(length)
      const { stream, size } = await node.content()
      expect([size, Buffer.from(await stream.read(0, size)).toString()]).toEqual([length, 'x'.repeat(length)])
    }
  }
})

it('lists its two files, and knows no other', async () => {
  const { folder } = controlDir()
  const names: string[] = []
  const sink: DirSink = {
    add: (bytes, start, end) => {
      names.push(Buffer.from(bytes).toString('latin1', start, end))
      return true
    },
  }
  folder.list(0, sink)
  expect(names.sort()).toEqual(['.', '..', 'errors', 'status'])
  expect(await folder.lookup(Buffer.from('none'))).toBeUndefined()
  expect(await folder.lookup(Buffer.from('constructor'))).toBeUndefined()
})
