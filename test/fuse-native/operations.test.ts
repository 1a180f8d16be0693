import { describe, expect, it } from 'vitest'
import { ChunkUnavailableError } from '#src/errors/errors.js'
import type { Log } from '#src/errors/log.js'
import type { NativeHandlers } from '#src/fuse-native/library.js'
import { NativeOperations, type OperationOptions } from '#src/fuse-native/operations.js'
import { FOREVER } from '#src/tree/tree.js'
import { dir, FakeTree, file, link, MemoryStream, type FakeNode } from '../support/fake-tree.js'

const ACL = Buffer.from([2, 0, 0, 0])

function makeRoot() {
  const text = file('0123456789', { xattrs: { 'user.a': Buffer.from('value'), 'user.\xff': Buffer.from('raw') } })
  const acl = file('x', { mode: 0o100670, xattrs: { 'system.posix_acl_access': ACL } })
  const big = Buffer.alloc(300_000, 'abcdefg')
  return dir({
    text,
    acl,
    slow: { mode: 0o100644, stream: new MemoryStream(big, true) },
    'b\xff': file('bytes'),
    link: link('text'),
    'odd-link': link('\xff'),
    'empty-link': link(''),
    sub: dir({}),
  })
}

interface Rig {
  tree: FakeTree
  operations: NativeOperations
  warnings: string[]
  /** Calls an operation as the library does; resolves with all it was answered, and fails when that is not once. */
  call: (name: keyof NativeHandlers, ...args: unknown[]) => Promise<unknown[]>
}

function makeRig(root: FakeNode = makeRoot(), options: Partial<OperationOptions> = {}, delay?: number): Rig {
  const tree = new FakeTree(root, delay)
  const warnings: string[] = []
  const note = (message: string, fields: unknown): void => void warnings.push(`${message} ${JSON.stringify(fields)}`)
  const log: Log = { debug: note, info: note, warn: note, error: note }
  const operations = new NativeOperations(tree, log, { override: {}, checkPermissions: false, ...options })
  const call: Rig['call'] = async (name, ...args) => {
    const answers: unknown[][] = []
    const handler = operations.handlers[name] as (...all: unknown[]) => void
    await new Promise<void>((resolve) => {
      handler((...answer: unknown[]) => {
        answers.push(answer)
        resolve()
      }, ...args)
    })
    await new Promise((resolve) => setTimeout(resolve, 2))
    expect(answers).toHaveLength(1)
    expect(operations.counts.waiting).toBe(0)
    return answers[0]!
  }
  return { tree, operations, warnings, call }
}

describe.each([['at once', undefined], ['later', 1]])('over a tree that answers %s', (_name, delay) => {
  const rig = () => makeRig(makeRoot(), {}, delay)

  it('getattr', async () => {
    const { call } = rig()
    const [result, words] = await call('_op_getattr', '/text')
    expect(result).toBe(0)
    expect([...(words as Uint32Array).subarray(0, 5)]).toEqual([0o100644, 0, 0, 10, 0])
    expect(await call('_op_getattr', '/nope')).toEqual([-2])
    expect(await call('_op_getattr', '/text/x')).toEqual([-20])
  })

  it('readdir, with names as they can be shown', async () => {
    const { call } = rig()
    const [result, names, stats] = await call('_op_readdir', '/')
    expect(result).toBe(0)
    expect(names).toEqual(['.', '..', 'text', 'acl', 'slow', 'b\\xff', 'link', 'odd-link', 'empty-link', 'sub'])
    const types = (stats as Uint32Array[]).map((words) => words[0]! >>> 12)
    expect(types).toEqual([4, 4, 8, 8, 8, 8, 10, 10, 10, 4])
    expect(await call('_op_readdir', '/text')).toEqual([-20])
  })

  it('open, read, release', async () => {
    const { call, tree, operations } = rig()
    const id = (await tree.lookup({ hi: 0, lo: 1 }, Buffer.from('slow')))!.idLo
    const [result, handle] = await call('_op_open', '/slow', 0)
    expect(result).toBe(0)
    expect(tree.references.get(id)).toBe(2)
    const target = Buffer.alloc(131_072)
    expect(await call('_op_read', '/slow', handle, target, target.length, 200_000, 0)).toEqual([100_000, 100_000, target.buffer])
    expect(target.subarray(0, 100_000).equals(Buffer.alloc(300_000, 'abcdefg').subarray(200_000))).toBe(true)
    expect(target.subarray(100_000).every((byte) => byte === 0)).toBe(true)
    expect(await call('_op_read', '/slow', handle, target, target.length, 300_000, 0)).toEqual([0, 0, target.buffer])
    expect(await call('_op_read', '/slow', handle, target, target.length, 0, 1)).toEqual([0, 0, target.buffer])
    expect(operations.counts.bytesRead).toBe(100_000)
    expect(await call('_op_release', '/slow', handle)).toEqual([0])
    expect(tree.references.get(id)).toBe(1)
  })

  it('fgetattr and read of an open file need no name', async () => {
    const root = makeRoot()
    const { call } = makeRig(root, {}, delay)
    const [, handle] = await call('_op_open', '/text', 0)
    root.children!.delete('text')
    const [result, words] = await call('_op_fgetattr', '/text', handle)
    expect([result, (words as Uint32Array)[3]]).toEqual([0, 10])
    const target = Buffer.alloc(4)
    expect(await call('_op_read', '/text', handle, target, 4, 6, 0)).toEqual([4, 4, target.buffer])
    expect(target.toString()).toBe('6789')
  })

  it('refuses to open for writing', async () => {
    const { call } = rig()
    for (const flags of [1, 2, 0o1000]) expect(await call('_op_open', '/text', flags)).toEqual([-30])
  })

  it('xattrs: size, value, too little room, none', async () => {
    const { call } = rig()
    const none = Buffer.alloc(0)
    const small = Buffer.alloc(4, '-')
    const room = Buffer.alloc(8, '-')
    expect(await call('_op_getxattr', '/text', 'user.a', none)).toEqual([5, none.buffer])
    expect(await call('_op_getxattr', '/text', 'user.a', small)).toEqual([-34, small.buffer])
    expect(small.toString()).toBe('----')
    expect(await call('_op_getxattr', '/text', 'user.a', room)).toEqual([5, room.buffer])
    expect(room.toString()).toBe('value---')
    expect(await call('_op_getxattr', '/text', 'user.b', room)).toEqual([-61, room.buffer])
    expect(await call('_op_getxattr', '/text', 'user.\ufffd', room)).toEqual([3, room.buffer])
  })

  it('listxattr: exact, bytes as they are', async () => {
    const { call } = rig()
    const none = Buffer.alloc(0)
    const small = Buffer.alloc(13)
    const room = Buffer.alloc(14)
    expect(await call('_op_listxattr', '/text', none)).toEqual([14, none.buffer])
    expect(await call('_op_listxattr', '/text', small)).toEqual([-34, small.buffer])
    expect(await call('_op_listxattr', '/text', room)).toEqual([14, room.buffer])
    expect(room.toString('latin1')).toBe('user.a\0user.\xff\0')
    expect(await call('_op_listxattr', '/sub', none)).toEqual([0, none.buffer])
  })

  it('readlink never gives another target than the one that is stored', async () => {
    const { call, warnings } = rig()
    expect(await call('_op_readlink', '/link')).toEqual([0, 'text'])
    expect(warnings).toEqual([])
    expect(await call('_op_readlink', '/odd-link')).toEqual([-95])
    expect(await call('_op_readlink', '/empty-link')).toEqual([-5])
    expect(warnings).toHaveLength(2)
    expect(await call('_op_readlink', '/text')).toEqual([-22])
  })

  it('statfs', async () => {
    const [result, words] = await rig().call('_op_statfs', '/')
    expect([result, (words as Uint32Array)[2]]).toEqual([0, 245])
  })
})

it('answers the errno of a failure and logs it, with the path', async () => {
  const stream = new MemoryStream(Buffer.alloc(10), true)
  stream.read = () => Promise.reject(new ChunkUnavailableError('chunk is gone', { digest: 'ab' }))
  const { call, warnings } = makeRig(dir({ 'a\n': { mode: 0o100644, stream } }))
  const [, handle] = await call('_op_open', '/a\n', 0)
  const target = Buffer.alloc(4)
  expect(await call('_op_read', '/a\n', handle, target, 4, 0, 0)).toEqual([-5, 0, target.buffer])
  expect(warnings).toEqual(['request failed {"op":"read","file":"/a\\\\x0a","error":"chunk is gone","digest":"ab"}'])
})

it('never answers short, nor with bytes of something else, when the stream ends before the file', async () => {
  const { call, tree } = makeRig(dir({ cut: file('0123') }))
  tree.content = () => ({ stream: new MemoryStream(Buffer.alloc(8)), start: 4, size: 10 })
  const [, handle] = await call('_op_open', '/cut', 0)
  const target = Buffer.alloc(16)
  expect(await call('_op_read', '/cut', handle, target, 16, 0, 0)).toEqual([-5, 0, target.buffer])
})

it('a handle that is not open is a bug of ours, not a crash', async () => {
  const { call, warnings } = makeRig()
  expect(await call('_op_fgetattr', '/text', 77)).toEqual([-5])
  expect(warnings[0]).toMatch(/^bug: /)
})

describe('permissions', () => {
  const mode = async (path: string, options: Partial<OperationOptions>) => {
    const [, words] = await makeRig(makeRoot(), options).call('_op_getattr', path)
    return ((words as Uint32Array)[0]! & 0o7777).toString(8)
  }

  it('are shown as they are while nobody checks them', async () => {
    expect(await mode('/acl', {})).toBe('670')
  })

  it('shrink to the owner where an ACL would have to be checked', async () => {
    expect(await mode('/acl', { checkPermissions: true })).toBe('600')
    expect(await mode('/acl', { checkPermissions: true, override: { umask: 0 } })).toBe('700')
    expect(await mode('/text', { checkPermissions: true })).toBe('644')
  })
})

it('hard links share their number, others do not', async () => {
  const shared = file('x', { ttl: FOREVER })
  const { call } = makeRig(dir({ a: shared, b: shared, c: file('x') }))
  const ino = async (path: string) => ((await call('_op_getattr', path))[1] as Uint32Array)[7]
  expect(await ino('/a')).toBe(await ino('/b'))
  expect(await ino('/a')).not.toBe(await ino('/c'))
  const [, , stats] = await call('_op_readdir', '/')
  expect((stats as Uint32Array[])[2]![7]).toBe(await ino('/a'))
})
