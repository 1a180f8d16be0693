import { performance } from 'node:perf_hooks'
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import type { DirectReply, ReadAt } from '#src/bytes/read-at.js'
import { ChunkUnavailableError, KeyError, NodeError } from '#src/errors/errors.js'
import { FOREVER } from '#src/tree/tree.js'
import { OPCODES } from '#src/fuse/protocol/opcodes.js'
import { initIn, FakeKernel, packRequest, parseDirents, readIn, u32, u64 } from '../support/fake-kernel.js'
import { dir, FakeTree, file, link, MemoryStream, S_IFREG } from '../support/fake-tree.js'

const EIO = 5
const ENOENT = 2

const text = Buffer.from('0123456789')
const large = Buffer.alloc(100_000, 'abc')

function makeTree(delayMs?: number): FakeTree {
  return new FakeTree(
    dir({
      text: file(text, { xattrs: { 'user.a': Buffer.from('value'), 'user.bb': Buffer.alloc(0) } }),
      large: file(large),
      link: link('../caf\xe9'),
      bad: link(''),
      live: dir({}, { ttl: 1, negativeTtl: 0 }),
    }),
    delayMs,
  )
}
const NODE = { root: 1, text: 2, large: 3, link: 4, bad: 5, live: 6 }

const name = (value: string): Buffer => Buffer.from(value + '\0', 'latin1')

it('small requests go before large READs that came earlier, which are then answered in their order', async () => {
  const kernel = new FakeKernel(makeTree())
  kernel.holdsBack = true
  const reads = [0, 10].map((offset) => kernel.send('READ', NODE.large, readIn(offset, 1_000_000)))
  const failing = kernel.send('READ', 99, readIn(0, 1_000_000))
  const lookup = kernel.send('LOOKUP', 1, name('text'))
  const small = kernel.send('READ', NODE.text, readIn(0, 4096))
  await vi.waitFor(() => expect(kernel.replies.map(({ unique }) => unique)).toEqual([lookup, small]))
  expect(kernel.exchange.hasPutOff).toBe(true)
  while (kernel.exchange.answerPutOff());
  await vi.waitFor(() => expect(kernel.replies).toHaveLength(5))
  expect(kernel.replies.slice(2).map(({ unique }) => unique)).toEqual([...reads, failing])
  expect(kernel.replies.slice(2).map(({ body, errno }) => [body.length, errno !== 0])).toEqual([[100_000, false], [99_990, false], [0, true]])
  expect(kernel.exchange.hasPutOff).toBe(false)
})

describe.each([
  ['at once', undefined],
  ['later', 1],
])('a tree that answers %s', (_when, delayMs) => {
  const start = (options = {}): { kernel: FakeKernel; tree: FakeTree } => {
    const tree = makeTree(delayMs)
    return { tree, kernel: new FakeKernel(tree, options) }
  }

  it('LOOKUP gives the entry and counts the reference', async () => {
    const { kernel, tree } = start()
    const reply = await kernel.ask('LOOKUP', 1, name('text'))
    expect(reply.errno).toBe(0)
    expect(reply.body.length).toBe(128)
    expect(reply.body.readBigUInt64LE(0)).toBe(2n)
    expect(reply.body.readBigUInt64LE(16)).toBe(BigInt(FOREVER))
    expect(reply.body.readBigUInt64LE(40 + 8)).toBe(10n)
    expect(tree.references.get(2)).toBe(1)
  })

  it('LOOKUP remembers a missing name where nothing can appear, and only there', async () => {
    const { kernel, tree } = start()
    const missing = await kernel.ask('LOOKUP', 1, name('none'))
    expect(missing.errno).toBe(0)
    expect(missing.body.readBigUInt64LE(0)).toBe(0n)
    expect(missing.body.readBigUInt64LE(16)).toBe(BigInt(FOREVER))
    expect((await kernel.ask('LOOKUP', NODE.live, name('none'))).errno).toBe(ENOENT)
    expect(tree.references.size).toBe(0)
  })

  it('LOOKUP hands the tree bytes that stay', async () => {
    const { kernel, tree } = start()
    await kernel.ask('LOOKUP', 1, name('caf\xe9'))
    expect(tree.calls).toContain('lookup caf\xe9')
    expect((await kernel.ask('LOOKUP', 1, name('link'))).body.readBigUInt64LE(0)).toBe(4n)
  })

  it('does not count a reference for a reply the kernel did not take', async () => {
    const { kernel, tree } = start()
    kernel.failures.push(-ENOENT)
    kernel.send('LOOKUP', 1, name('text'))
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(kernel.replies).toEqual([])
    expect(tree.references.size).toBe(0)
    kernel.failures.push(-ENOENT)
    kernel.send('READDIRPLUS', 1, readIn(0, 4096))
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(tree.references.size).toBe(0)
  })

  it('GETATTR, READLINK, STATFS', async () => {
    const { kernel } = start()
    const attr = await kernel.ask('GETATTR', 3, Buffer.alloc(16))
    expect(attr.body.length).toBe(104)
    expect(attr.body.readBigUInt64LE(16 + 8)).toBe(100_000n)
    expect((await kernel.ask('GETATTR', 2n ** 32n + 3n, Buffer.alloc(16))).errno).toBe(116)
    expect((await kernel.ask('READLINK', NODE.link)).body.toString('latin1')).toBe('../caf\xe9')
    expect((await kernel.ask('READLINK', NODE.bad)).errno).toBe(EIO)
    expect((await kernel.ask('READLINK', NODE.text)).errno).toBe(22)
    expect((await kernel.ask('STATFS', 1)).body.readBigUInt64LE(0)).toBe(245n)
  })

  it('READDIRPLUS and READDIR go on at the cookie and count references', async () => {
    const { kernel, tree } = start()
    const names: string[] = []
    let cookie = 0n
    for (let i = 0; i < 10; i++) {
      const reply = await kernel.ask('READDIRPLUS', 1, readIn(cookie, 400))
      expect(reply.body.length).toBeLessThanOrEqual(400)
      const records = parseDirents(reply.body, true)
      if (records.length === 0) break
      for (const record of records) {
        names.push(record.name)
        if (record.name.startsWith('.')) expect(record.entry!.every((byte) => byte === 0)).toBe(true)
        else expect(record.nodeid).toBe(record.ino)
      }
      cookie = records.at(-1)!.off
    }
    expect(names).toEqual(['.', '..', 'text', 'large', 'link', 'bad', 'live'])
    expect([...tree.references]).toEqual([[2, 1], [3, 1], [4, 1], [5, 1], [6, 1]])
    const plain = parseDirents((await kernel.ask('READDIR', 1, readIn(2, 4096))).body, false)
    expect(plain.map(({ name: n, type }) => [n, type])).toEqual([['text', 8], ['large', 8], ['link', 10], ['bad', 10], ['live', 4]])
    expect(tree.references.get(2)).toBe(1)
    expect((await kernel.ask('READDIR', NODE.text, readIn(0, 4096))).errno).toBe(20)
    expect((await kernel.ask('READDIR', 1, readIn(2n ** 60n, 4096))).errno).toBe(22)
    expect((await kernel.ask('READDIR', 1, readIn(0, 0xffffffff))).errno).toBe(0)
  }) // prettier-ignore

  it('READ is cut at the end of the file and nowhere else', async () => {
    const { kernel } = start()
    const read = async (node: number, offset: number | bigint, size: number): Promise<Buffer> => {
      const reply = await kernel.ask('READ', node, readIn(offset, size))
      expect(reply.errno).toBe(0)
      return reply.body
    }
    expect((await read(NODE.text, 0, 4096)).toString()).toBe('0123456789')
    expect((await read(NODE.text, 3, 4)).toString()).toBe('3456')
    expect((await read(NODE.text, 10, 1)).length).toBe(0)
    expect((await read(NODE.text, 2n ** 63n, 1)).length).toBe(0)
    expect((await read(NODE.text, 0, 0)).length).toBe(0)
    expect(large.subarray(1).equals(await read(NODE.large, 1, 131072))).toBe(true)
    expect(large.subarray(0, 65536).equals(await read(NODE.large, 0, 65536))).toBe(true)
    expect((await kernel.ask('READ', 1, readIn(0, 10))).errno).toBe(21)
    expect((await kernel.ask('READ', NODE.text, readIn(0, 0xffffffff))).errno).toBe(22)
  })

  it('GETXATTR and LISTXATTR tell the length, the value, or that there is no room', async () => {
    const { kernel } = start()
    const get = (node: number, key: string, room: number): Promise<{ errno: number; body: Buffer }> =>
      kernel.ask('GETXATTR', node, Buffer.concat([u32(room, 0), name(key)]))
    expect((await get(NODE.text, 'user.a', 0)).body).toEqual(u32(5, 0))
    expect((await get(NODE.text, 'user.a', 5)).body.toString()).toBe('value')
    expect((await get(NODE.text, 'user.a', 4)).errno).toBe(34)
    expect((await get(NODE.text, 'user.bb', 10)).body.length).toBe(0)
    expect((await get(NODE.text, 'user.none', 10)).errno).toBe(61)
    const list = (room: number): Promise<{ errno: number; body: Buffer }> => kernel.ask('LISTXATTR', NODE.text, u32(room, 0))
    expect((await list(0)).body).toEqual(u32(15, 0))
    expect((await list(100)).body.toString()).toBe('user.a\0user.bb\0')
    expect((await list(14)).errno).toBe(34)
  })

  it('LSEEK follows data and holes', async () => {
    const bytes = Buffer.alloc(5 * 4096)
    bytes.fill(1, 4096, 8192)
    bytes.fill(1, 3 * 4096, 3 * 4096 + 5)
    const kernel = new FakeKernel(
      new FakeTree(dir({ sparse: file(bytes), dense: { mode: S_IFREG, stream: opaque(bytes) } }), delayMs),
    )
    const seek = async (node: number, offset: number | bigint, whence: number): Promise<number | string> => {
      const reply = await kernel.ask('LSEEK', node, Buffer.concat([u64(0, offset), u32(whence, 0)]))
      return reply.errno !== 0 ? `errno ${reply.errno}` : Number(reply.body.readBigUInt64LE(0))
    }
    const DATA = 3
    const HOLE = 4
    expect(await seek(2, 0, DATA)).toBe(4096)
    expect(await seek(2, 5000, DATA)).toBe(5000)
    expect(await seek(2, 8192, DATA)).toBe(12288)
    expect(await seek(2, 4 * 4096, DATA)).toBe('errno 6')
    expect(await seek(2, 0, HOLE)).toBe(0)
    expect(await seek(2, 4096, HOLE)).toBe(8192)
    expect(await seek(2, 12288, HOLE)).toBe(16384)
    expect(await seek(2, 5 * 4096, HOLE)).toBe('errno 6')
    expect(await seek(2, 2n ** 63n, DATA)).toBe('errno 6')
    expect(await seek(2, 0, 2)).toBe('errno 22')
    expect(await seek(3, 7, DATA)).toBe(7)
    expect(await seek(3, 7, HOLE)).toBe(5 * 4096)
  })

  it('OPEN without hooks, with hooks, and not at all', async () => {
    const open = (flags: number): Buffer => u32(flags, 0)
    const none = start({ noOpen: true, noOpendir: true }).kernel
    expect((await none.ask('OPEN', NODE.text, open(0o100000))).errno).toBe(38)
    expect((await none.ask('OPENDIR', 1, open(0))).errno).toBe(38)
    expect((await none.ask('OPEN', NODE.text, open(2))).errno).toBe(30)
    const plain = start({ noOpen: false, noOpendir: false }).kernel
    expect((await plain.ask('OPEN', NODE.text, open(0))).body).toEqual(Buffer.concat([u64(0), u32(2 | 32, 0)]))
    expect((await plain.ask('OPENDIR', 1, open(0))).body).toEqual(Buffer.concat([u64(0), u32(2 | 8, 0)]))
    expect((await plain.ask('OPEN', NODE.text, open(0o1000))).errno).toBe(30)

    const released: unknown[] = []
    const wait = <T>(value: T): T | Promise<T> => (delayMs === undefined ? value : Promise.resolve(value))
    const { kernel } = start({
      noOpen: false,
      noOpendir: false,
      hooks: {
        onOpen: (node: { lo: number }, directory: boolean) => {
          if (node.lo === NODE.link) throw new NodeError('ESTALE')
          return wait({ fh: 77, directIo: !directory })
        },
        onRelease: (node: { lo: number }, fh: number, directory: boolean) => released.push([node.lo, fh, directory]),
      },
    })
    expect((await kernel.ask('OPEN', NODE.text, open(0))).body).toEqual(Buffer.concat([u64(77), u32(1 | 32, 0)]))
    expect((await kernel.ask('OPENDIR', 1, open(0))).body).toEqual(Buffer.concat([u64(77), u32(2 | 8, 0)]))
    expect((await kernel.ask('OPEN', NODE.link, open(0))).errno).toBe(116)
    expect((await kernel.ask('RELEASE', NODE.text, Buffer.concat([u64(77), u64(0, 0)]))).errno).toBe(0)
    expect((await kernel.ask('RELEASEDIR', 1, Buffer.concat([u64(77), u64(0, 0)]))).errno).toBe(0)
    expect(released).toEqual([[NODE.text, 77, false], [1, 77, true]])
    kernel.failures.push(-ENOENT)
    kernel.send('OPEN', NODE.text, open(0))
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(released.at(-1)).toEqual([NODE.text, 77, false])
    expect(released.length).toBe(3)
  }) // prettier-ignore

  it('FORGET and BATCH_FORGET drop counts and get no reply', () => {
    const { kernel, tree } = start()
    kernel.send('FORGET', 2, u64(3))
    kernel.send('BATCH_FORGET', 0, Buffer.concat([u32(2, 0), u64(2, 1, 3, 5)]))
    expect(tree.references.get(2)).toBe(-4)
    expect(tree.references.get(3)).toBe(-5)
    expect(kernel.replies).toEqual([])
  })
})

function opaque(bytes: Uint8Array): ReadAt {
  const memory = new MemoryStream(bytes, true)
  return { name: 'opaque', size: bytes.length, peek: () => undefined, read: (offset, length) => memory.read(offset, length) }
}

describe('what a read-only server refuses', () => {
  const kernel = new FakeKernel(makeTree())
  const cases: [string, number][] = [
    ...['SETATTR', 'SYMLINK', 'MKNOD', 'MKDIR', 'UNLINK', 'RMDIR', 'RENAME', 'LINK', 'WRITE', 'SETXATTR', 'REMOVEXATTR'].map(
      (op): [string, number] => [op, 30],
    ),
    ...['CREATE', 'FALLOCATE', 'RENAME2', 'COPY_FILE_RANGE', 'TMPFILE'].map((op): [string, number] => [op, 30]),
    ...['FLUSH', 'FSYNC', 'FSYNCDIR', 'ACCESS', 'POLL', 'STATX', 'BMAP', 'GETLK'].map((op): [string, number] => [op, 38]),
    ['IOCTL', 25],
    ['DESTROY', 0],
    ['SYNCFS', 0],
  ]
  it.each(cases)('%s -> %i', async (op, errno) => {
    expect((await kernel.ask(op, NODE.text, Buffer.alloc(104, 0x61))).errno).toBe(errno)
  })

  it('an opcode of the future', () => {
    kernel.sendRaw(packRequest(60, 1n, 998n))
    kernel.sendRaw(packRequest(6000, 1n, 1000n))
    expect(kernel.replies.slice(-2)).toMatchObject([{ unique: 998n, errno: 38 }, { unique: 1000n, errno: 38 }])
  })
})

describe('INIT', () => {
  it('is answered and logged by name', async () => {
    const kernel = new FakeKernel(makeTree(), { posixAcl: true })
    const reply = await kernel.ask('INIT', 0, initIn(7, 45, 0x73fffffb, 0x5fd))
    expect(reply.body.length).toBe(64)
    expect(reply.body.readUInt32LE(12) & (1 << 20)).not.toBe(0)
    expect(kernel.exchange.negotiated?.minor).toBe(45)
    expect(kernel.log[0]?.fields['enabled']).toContain('POSIX_ACL')
  })

  it('refuses an old kernel', async () => {
    const kernel = new FakeKernel(makeTree())
    expect((await kernel.ask('INIT', 0, u32(7, 26, 0, 0))).errno).toBe(71)
    expect(kernel.exchange.initRefused).toContain('7.26')
    expect(kernel.exchange.negotiated).toBeUndefined()
  })
})

describe('failures', () => {
  it('turns errors into errnos, and logs those that are not ordinary', async () => {
    const tree = makeTree()
    const kernel = new FakeKernel(tree)
    const failing = async (error: unknown): Promise<number> => {
      tree.getattr = () => {
        throw error
      }
      const sync = (await kernel.ask('GETATTR', 2, Buffer.alloc(16))).errno
      tree.getattr = async () => {
        await Promise.resolve()
        throw error
      }
      expect((await kernel.ask('GETATTR', 2, Buffer.alloc(16))).errno).toBe(sync)
      return sync
    }
    expect(await failing(new NodeError('ENOENT'))).toBe(ENOENT)
    expect(kernel.log).toEqual([])
    expect(await failing(new ChunkUnavailableError('gone', { digest: 'ab' }))).toBe(EIO)
    expect(kernel.log.at(-1)).toMatchObject({ level: 'warn', fields: { op: 'GETATTR', node: 2, digest: 'ab' } })
    expect(await failing(new KeyError('no key'))).toBe(13)
    expect(await failing(new TypeError('oops'))).toBe(EIO)
    expect(kernel.log.at(-1)).toMatchObject({ level: 'error' })
    expect(kernel.log.at(-1)!.fields['error']).toContain('dispatch.test')
    expect(await failing('a string')).toBe(EIO)
  })

  it('answers once when the tree fails after the reply', async () => {
    const tree = makeTree()
    const kernel = new FakeKernel(tree)
    tree.remember = () => {
      throw new Error('too late')
    }
    expect((await kernel.ask('LOOKUP', 1, name('text'))).errno).toBe(0)
    expect(kernel.replies.length).toBe(1)
    expect(kernel.log.at(-1)?.message).toBe('error after the answer')
  })

  it('tries EIO when the kernel finds a reply malformed', () => {
    const kernel = new FakeKernel(makeTree())
    kernel.failures.push(-22)
    const unique = kernel.send('STATFS', 1)
    expect(kernel.replies).toMatchObject([{ unique, errno: EIO }])
    expect(kernel.exchange.stats.rejectedReplies).toBe(1)
  })

  it('a stream that is shorter than its file is damage, not an end', async () => {
    const tree = makeTree()
    tree.content = () => ({ stream: new MemoryStream(Buffer.alloc(10)), start: 4, size: 100 })
    const kernel = new FakeKernel(tree)
    expect((await kernel.ask('READ', 2, readIn(0, 4096))).errno).toBe(EIO)
    expect((await kernel.ask('READ', 2, readIn(0, 6))).body.length).toBe(6)
  })

  it('counts requests and errors', async () => {
    const kernel = new FakeKernel(makeTree(1))
    await kernel.ask('GETATTR', 2, Buffer.alloc(16))
    await kernel.ask('GETATTR', 999, Buffer.alloc(16))
    const stats = kernel.exchange.stats.toArray()
    expect(stats).toMatchObject([{ name: 'GETATTR', count: 2, errors: 1 }])
    expect(stats[0]!.totalMs).toBeGreaterThan(1)
    expect(kernel.exchange.waiting).toBe(0)
  })

  it('writes a record for each request only when asked', async () => {
    const kernel = new FakeKernel(makeTree(), { traceRequests: true })
    await kernel.ask('READ', 2, readIn(0, 4096))
    expect(kernel.log).toMatchObject([{ level: 'debug', message: 'request', fields: { op: 'READ', node: 2, errno: 0, bytes: 10 } }])
  })
})

describe('data that another thread sends', () => {
  const start = (): { kernel: FakeKernel; calls: { offset: number; length: number; reply: DirectReply }[] } => {
    const calls: { offset: number; length: number; reply: DirectReply }[] = []
    const stream: ReadAt = {
      name: 'remote',
      size: 1000,
      peek: () => undefined,
      read: () => Promise.reject(new Error('not this way')),
      deliver: (offset, length, reply) => calls.push({ offset, length, reply }),
    }
    return { calls, kernel: new FakeKernel(new FakeTree(dir({ remote: { mode: S_IFREG | 0o644, stream } })), { interruptAfterMs: 0 }) }
  }

  it('gets a finished header and the range cut to the file', () => {
    const { kernel, calls } = start()
    const unique = kernel.send('READ', 2, readIn(900, 4096))
    expect(calls).toMatchObject([{ offset: 900, length: 100 }])
    expect(kernel.replies).toEqual([])
    expect(kernel.exchange.waiting).toBe(1)
    const { header } = calls[0]!.reply
    expect(Buffer.from(header)).toEqual(Buffer.concat([u32(116, 0), u64(unique)]))
    kernel.take(Buffer.concat([header, Buffer.alloc(100)]))
    calls[0]!.reply.done()
    expect(kernel.exchange.waiting).toBe(0)
    expect(kernel.replies.length).toBe(1)
    expect(kernel.exchange.stats.toArray()).toMatchObject([{ name: 'READ', count: 1, errors: 0 }])
  })

  it('is replaced by an errno when it fails', () => {
    const { kernel, calls } = start()
    const unique = kernel.send('READ', 2, readIn(0, 10))
    calls[0]!.reply.fail(new ChunkUnavailableError('gone'))
    expect(kernel.replies).toMatchObject([{ unique, errno: EIO }])
    calls[0]!.reply.done()
    expect(kernel.replies.length).toBe(1)
  })

  it('lets an interrupted caller go, once', async () => {
    const { kernel, calls } = start()
    const unique = kernel.send('READ', 2, readIn(0, 10))
    kernel.exchange.tend()
    expect(kernel.replies).toEqual([])
    kernel.send('INTERRUPT', 0, u64(unique))
    expect(kernel.replies).toEqual([])
    await new Promise((resolve) => setTimeout(resolve, 60))
    kernel.exchange.tend()
    expect(kernel.replies).toMatchObject([{ unique, errno: 4 }])
    calls[0]!.reply.done()
    calls[0]!.reply.fail(new NodeError('ENOENT'))
    expect(kernel.replies.length).toBe(1)
  })

  it('is named in the log, once, when it takes long', () => {
    const clock = vi.spyOn(performance, 'now').mockReturnValue(1000)
    try {
      const { kernel } = start()
      kernel.send('READ', 2, readIn(0, 10))
      clock.mockReturnValue(1000 + 9_900)
      kernel.exchange.tend()
      expect(kernel.log).toEqual([])
      expect(kernel.exchange.longestWaitMs).toBe(9_900)
      for (let i = 1; i <= 3; i++) {
        clock.mockReturnValue(1000 + 9_900 + 200 * i)
        kernel.exchange.tend()
      }
      expect(kernel.log).toMatchObject([{ level: 'warn', fields: { op: 'READ', node: 2, seconds: 10 } }])
    } finally {
      clock.mockRestore()
    }
  })

  it('is answered when the session ends first', () => {
    const { kernel } = start()
    const unique = kernel.send('READ', 2, readIn(0, 10))
    kernel.exchange.abandonAll(EIO)
    expect(kernel.replies).toMatchObject([{ unique, errno: EIO }])
    expect(kernel.exchange.waiting).toBe(0)
  })
})

describe('malformed requests', () => {
  const silent = (op: string): boolean => OPCODES.find((row) => row.name === op)!.noReply

  it.each(OPCODES.map((row) => row.name))('%s cut anywhere gets an errno or nothing', async (op) => {
    const kernel = new FakeKernel(makeTree())
    const { minBody } = OPCODES.find((row) => row.name === op)!
    for (let length = 0; length < minBody; length++) {
      const before = kernel.replies.length
      kernel.send(op, 1, Buffer.alloc(length, 0x61))
      expect(kernel.replies.length - before).toBe(silent(op) ? 0 : 1)
      if (!silent(op)) expect(kernel.replies.at(-1)!.errno).toBe(22)
    }
    expect(kernel.exchange.stats.malformed).toBe(minBody)
  })

  it('less than a header, or another length than it says', () => {
    const kernel = new FakeKernel(makeTree())
    kernel.sendRaw(Buffer.alloc(39))
    expect(kernel.replies).toEqual([])
    const bytes = packRequest(3, 1n, 50n, Buffer.alloc(16))
    bytes.writeUInt32LE(57, 0)
    kernel.sendRaw(bytes)
    expect(kernel.replies).toMatchObject([{ unique: 50n, errno: EIO }])
  })

  it('any bytes get one reply or none, and never a throw', () => {
    const tree = makeTree()
    const kernel = new FakeKernel(tree, { noOpen: false, noOpendir: false })
    const body = fc.oneof(fc.uint8Array({ maxLength: 120 }), fc.uint8Array({ minLength: 30, maxLength: 60 }).map((a) => a.fill(0)))
    fc.assert(
      fc.property(fc.nat(63), fc.oneof(fc.nat(8), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })), body, (code, node, bytes) => {
        const before = kernel.replies.length
        kernel.sendRaw(packRequest(code, BigInt(node), 4n, bytes))
        const row = OPCODES.find((candidate) => candidate.opcode === code)
        expect(kernel.replies.length - before).toBe(row?.noReply === true ? 0 : 1)
        const reply = kernel.replies.pop()
        if (reply !== undefined) {
          expect(reply.unique).toBe(4n)
          expect(reply.length).toBe(reply.body.length + 16)
          expect(reply.errno).toBeGreaterThanOrEqual(0)
          expect(reply.errno).toBeLessThan(512)
          if (reply.errno !== 0) expect(reply.body.length).toBe(0)
        }
      }),
      { numRuns: 3000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const before = kernel.replies.length
        kernel.sendRaw(bytes)
        expect(kernel.replies.length - before).toBeLessThanOrEqual(1)
      }),
    )
    expect(kernel.log.filter((line) => line.message.includes('bug'))).toEqual([])
  })
})
