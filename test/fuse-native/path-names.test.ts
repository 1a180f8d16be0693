import { describe, expect, it } from 'vitest'
import { UnsupportedError } from '#src/errors/errors.js'
import { PathNames } from '#src/fuse-native/path-names.js'
import { dir, FakeTree, file, type FakeNode } from '../support/fake-tree.js'

const LIVE = { ttl: 0.5 }

/** live/arch/etc/hosts: names above `arch` are live, those below never change. */
function makeRoot(): { root: FakeNode; live: FakeNode; hosts: FakeNode } {
  const hosts = file('127.0.0.1')
  const live = dir({ arch: dir({ etc: dir({ hosts }) }, LIVE) }, LIVE)
  return { root: dir({ live }), live, hosts }
}

function lookups(tree: FakeTree): string[] {
  return tree.calls.splice(0).filter((call) => call.startsWith('lookup')).map((call) => call.slice('lookup '.length)) // prettier-ignore
}

describe.each([['at once', undefined], ['later', 1]])('PathNames over a tree that answers %s', (_name, delay) => {
  it('finds by path and says when there is nothing', async () => {
    const { root, hosts } = makeRoot()
    const names = new PathNames(new FakeTree(root, delay))
    expect(await names.find('/')).toEqual({ hi: 0, lo: 1 })
    expect(await names.find('/live/arch/etc/hosts')).toEqual({ hi: 0, lo: hosts.id })
    expect(await names.find('/live/arch/etc/shadow')).toBeUndefined()
    expect(await names.find('/live/nope/etc/hosts')).toBeUndefined()
    await expect((async () => names.find('/live/arch/etc/hosts/x'))()).rejects.toThrow('ENOTDIR')
  })

  it('asks again for what may change, and for nothing else', async () => {
    const { root } = makeRoot()
    const tree = new FakeTree(root, delay)
    const names = new PathNames(tree)
    await names.find('/live/arch/etc/hosts')
    expect(lookups(tree)).toEqual(['live', 'arch', 'etc', 'hosts'])
    await names.find('/live/arch/etc/hosts')
    expect(lookups(tree)).toEqual(['live', 'arch'])
  })

  it('never keeps that a name is missing', async () => {
    const { root } = makeRoot()
    const tree = new FakeTree(root, delay)
    const names = new PathNames(tree)
    await names.find('/live/arch/nope')
    lookups(tree)
    await names.find('/live/arch/nope')
    expect(lookups(tree)).toEqual(['live', 'arch', 'nope'])
  })

  it('sees at once that a live name leads elsewhere or has gone', async () => {
    const { root, live } = makeRoot()
    const second = dir({ etc: dir({}) }, { ...LIVE, id: undefined as never })
    const tree = new FakeTree(dir({ root, second }), delay)
    const names = new PathNames(tree)
    expect(await names.find('/root/live/arch/etc/hosts')).toBeDefined()
    live.children!.set('arch', second)
    expect(await names.find('/root/live/arch')).toEqual({ hi: 0, lo: second.id })
    expect(await names.find('/root/live/arch/etc/hosts')).toBeUndefined()
    live.children!.delete('arch')
    expect(await names.find('/root/live/arch')).toBeUndefined()
  })

  it('remembers the nodes of kept names, and forgets them with the names', async () => {
    const { root, live, hosts } = makeRoot()
    const tree = new FakeTree(root, delay)
    const names = new PathNames(tree)
    for (let i = 0; i < 3; i++) await names.find('/live/arch/etc/hosts')
    expect(tree.references.get(hosts.id!)).toBe(1)
    live.children!.delete('arch')
    await names.find('/live/arch')
    names.clear()
    expect([...tree.references.values()].every((count) => count === 0)).toBe(true)
  })

  it('keeps no more names than it may', async () => {
    const files = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`f${i}`, file('')]))
    const tree = new FakeTree(dir(files), delay)
    const names = new PathNames(tree, 10)
    await Promise.all(Object.keys(files).map(async (name) => names.find(`/${name}`)))
    expect(names.size).toBe(10)
    const held = [...tree.references].filter(([id, count]) => id !== 1 && count > 0)
    expect(held).toHaveLength(10)
    expect([...tree.references.values()].every((count) => count >= 0)).toBe(true)
  })
})

describe('names that are not UTF-8', () => {
  const root = dir({ 'caf\xe9': file('1'), 'a\xff': file('2'), 'a\xfe': file('3'), 'b\\xe9': file('4'), 'b\xe9': file('5') })
  const names = new PathNames(new FakeTree(root))
  const content = async (path: string) => {
    const node = await names.find(path)
    return [...root.children!.values()].find((child) => child.id === node?.lo)?.bytes?.toString()
  }

  it('are found as they are shown', async () => {
    expect(await content('/caf\\xe9')).toBe('1')
    expect(await content('/a\\xff')).toBe('2')
    expect(await content('/a\\xfd')).toBeUndefined()
  })

  it('are found with the bytes lost, if only one name can be meant', async () => {
    expect(await content('/caf\ufffd')).toBe('1')
    expect(await content('/x\ufffd')).toBeUndefined()
    await expect(content('/a\ufffd')).rejects.toThrow(UnsupportedError)
  })

  it('stand back behind a name that is spelled so', async () => {
    expect(await content('/b\\xe9')).toBe('4')
  })
})
