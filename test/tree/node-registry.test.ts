import { expect, test } from 'vitest'
import { BytesStream, FileNode } from '#src/tree/file-nodes.js'
import { NodeRegistry } from '#src/tree/node-registry.js'
import type { NodeId } from '#src/tree/tree.js'

const owner = { uid: 0, gid: 0 }

function make(path: string) {
  return (id: NodeId) =>
    new FileNode(id, undefined, path, owner, { mtimeSec: 0, sizeHint: 0, open: () => new BytesStream(path, new Uint8Array()) })
}

test('the same identity is the same node, with the same id in every mount', () => {
  const [a, b] = [new NodeRegistry(), new NodeRegistry()]
  const first = a.intern('host/x', make('host/x'))
  expect(a.intern('host/x', make('host/x'))).toBe(first)
  expect(b.idFor('host/x')).toEqual(first.id)
  expect(a.get(first.id)).toBe(first)
})

test('ten thousand nodes have ten thousand ids, none of them the root', () => {
  const registry = new NodeRegistry()
  const ids = new Set<string>()
  for (let i = 0; i < 10_000; i++) {
    const { hi, lo } = registry.intern(`vm/${i}/x`, make('x')).id
    expect(hi).toBeLessThan(2 ** 13)
    ids.add(`${hi}:${lo}`)
  }
  expect(ids.size).toBe(10_000)
  expect(ids.has('0:1')).toBe(false)
})

test('a node that was let go stays for a minute, for those whose answer is on its way', () => {
  let now = 0
  const registry = new NodeRegistry(() => now)
  const [kept, gone, used] = ['kept', 'gone', 'used'].map((name) => registry.intern(name, make(name)))
  registry.retire(gone!)
  registry.retire(used!)
  used!.references = 1
  now = 59_000
  registry.retire(kept!)
  expect(registry.get(gone!.id)).toBe(gone)
  now = 61_000
  registry.retire(kept!)
  expect([kept, gone, used].map((node) => registry.get(node!.id) === node)).toEqual([true, false, true])
  expect(registry.intern('gone', make('gone'))).not.toBe(gone)
})
