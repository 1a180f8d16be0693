import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PbsfsError } from '#src/errors/errors.js'
import { PxarArchive } from '#src/pxar-decode/archive.js'
import {
  FLAG_LINKED_NAME, KIND_BLOCK, KIND_CHAR, KIND_DIR, KIND_FIFO, KIND_FILE, KIND_SOCKET, KIND_SYMLINK, createRecord,
} from '#src/pxar-decode/entry-record.js' // prettier-ignore
import { countLinks } from '#src/pxar-decode/link-counts.js'
import { MemoryStream } from '../support/memory-stream.js'
import { dir, encodeArchive, file, hardlink, symlink, type Encoded, type SourceDir, type SourceNode } from '../support/pxar-encoder.js'
import { anyTree } from '../support/pxar-trees.js'
import { walkArchive, type Seen } from '../support/pxar-walk.js'

const KIND = { file: KIND_FILE, dir: KIND_DIR, symlink: KIND_SYMLINK, char: KIND_CHAR, block: KIND_BLOCK, fifo: KIND_FIFO, socket: KIND_SOCKET } as const
const TYPE = { file: 0o100000, dir: 0o040000, symlink: 0o120000, char: 0o020000, block: 0o060000, fifo: 0o010000, socket: 0o140000 } as const

function checkEntry(seen: Seen, node: SourceNode, places: Map<SourceNode, number>): void {
  const target = node.kind === 'hardlink' ? node.to : node
  if (target.kind === 'hardlink') throw new Error('link to a link')
  expect(seen.linked).toBe(node.kind === 'hardlink')
  const { record } = seen
  expect(record).toMatchObject({
    kind: KIND[target.kind],
    mode: TYPE[target.kind] | (target.perm ?? 0o644),
    uid: target.uid ?? 0,
    gid: target.gid ?? 0,
    mtimeSec: target.mtimeSec ?? 0,
    mtimeNsec: target.mtimeNsec ?? 0,
  })
  if (target.kind === 'dir') expect(record.fileOfs).toBe(seen.path === '' ? -1 : places.get(target))
  else expect(record.fileOfs).toBe(places.get(target))
  if (target.kind === 'file') expect(seen.content!.equals(target.content)).toBe(true)
  if (target.kind === 'symlink') expect(seen.target!.equals(target.target)).toBe(true)
  if (target.kind === 'char' || target.kind === 'block') expect(record).toMatchObject({ major: target.major, minor: target.minor })
  const plain = seen.xattrs.filter(([name]) => !name.startsWith('system.') && name !== 'security.capability')
  expect(plain).toEqual((target.xattrs ?? []).map(([name, value]) => [name, Buffer.from(value).toString('hex')]))
  const capability = seen.xattrs.find(([name]) => name === 'security.capability')?.[1]
  expect(capability).toBe(target.fcaps === undefined ? undefined : Buffer.from(target.fcaps).toString('hex'))
  const named = (target.aclUsers?.length ?? 0) + (target.aclGroups?.length ?? 0)
  const acl = seen.xattrs.find(([name]) => name === 'system.posix_acl_access')?.[1]
  if (named === 0 && target.aclGroupObj === undefined) expect(acl).toBeUndefined()
  else expect(acl!.length / 2).toBe(4 + 8 * (4 + named))
}

function flatten(node: SourceDir, path = ''): Map<string, SourceNode> {
  const all = new Map<string, SourceNode>([[path, node]])
  for (const child of node.children) {
    const full = `${path}/${Buffer.from(child.name).toString('latin1')}`
    if (child.kind === 'dir') for (const [key, value] of flatten(child, full)) all.set(key, value)
    else all.set(full, child)
  }
  return all
}

async function checkArchive(root: SourceDir, encoded: Encoded, options: { borders?: readonly number[]; peeks?: boolean }): Promise<void> {
  const meta = new MemoryStream(encoded.meta, { name: 'meta', ...options })
  const archive = await PxarArchive.open({
    meta,
    ...(encoded.payload === undefined ? {} : { payload: new MemoryStream(encoded.payload, { name: 'payload', ...options }) }),
  })
  const seen = await walkArchive(archive, (table, path) => expect([path, table.problems]).toEqual([path, []]))
  const wanted = flatten(root)
  expect(seen.map(({ path }) => path).sort()).toEqual([...wanted.keys()].sort())
  for (const entry of seen) checkEntry(entry, wanted.get(entry.path)!, encoded.places)

  const record = createRecord()
  for (const { record: listed } of seen) {
    if (listed.kind === KIND_DIR) {
      expect(await archive.readDirEntry(listed.end)).toMatchObject({ mode: listed.mode, entryOfs: listed.entryOfs, itemEnd: listed.itemEnd })
      continue
    }
    const unlinked = { ...listed, flags: listed.flags & ~FLAG_LINKED_NAME }
    expect(await archive.readEntry(listed.fileOfs)).toEqual(unlinked)
    if (archive.peekEntry(listed.fileOfs, record)) expect(record).toEqual(unlinked)
    else expect(options).not.toEqual({})
  }

  const counts = new Map<number, number>()
  for (const node of wanted.values()) {
    if (node.kind === 'hardlink') counts.set(encoded.places.get(node.to)!, (counts.get(encoded.places.get(node.to)!) ?? 1) + 1)
  }
  expect(await countLinks(archive)).toEqual(counts)
}

describe('decoding what was encoded', () => {
  it('gives the source back: any tree, both formats, any borders between pieces', async () => {
    await fc.assert(
      fc.asyncProperty(
        anyTree,
        fc.record({ split: fc.boolean(), exactExtents: fc.boolean() }),
        fc.option(fc.uint8Array({ minLength: 1, maxLength: 20 }), { nil: undefined }),
        fc.array(fc.nat({ max: 20_000 }), { maxLength: 40 }),
        async (root, options, prelude, cuts) => {
          const encoded = encodeArchive(root, { ...options, ...(options.split && prelude !== undefined ? { prelude } : {}) })
          await checkArchive(root, encoded, {})
          await checkArchive(root, encoded, { borders: cuts.sort((a, b) => a - b) })
        },
      ),
      { numRuns: 150 },
    )
  })

  it('gives the source back when nothing is in memory', async () => {
    await fc.assert(
      fc.asyncProperty(anyTree, fc.boolean(), async (root, split) => {
        await checkArchive(root, encodeArchive(root, { split }), { peeks: false })
      }),
      { numRuns: 50 },
    )
  })

  it('works for every border of a small archive', async () => {
    const a = file('a', 'hello', { xattrs: [['user.x', Buffer.from('y')]], aclUsers: [[5, 6]] })
    const root = dir('', [a, dir('d', [file('b', ''), symlink('s', 'target')]), hardlink('e', a, 'a'), { kind: 'fifo', name: Buffer.from('f') }])
    for (const split of [false, true]) {
      const encoded = encodeArchive(root, { split })
      for (let border = 1; border < encoded.meta.length; border++) await checkArchive(root, encoded, { borders: [border] })
    }
  })

  it('60 levels of depth', async () => {
    let root = dir('leaf', [file('x', 'deep')])
    for (let i = 0; i < 60; i++) root = dir(i === 59 ? '' : `level${i}`, [root])
    await checkArchive(root, encodeArchive(root, { split: true }), {})
  })
})

/** Everything that can be asked of an archive; PbsfsErrors are fine, anything else is not. */
async function useAll(meta: Buffer, payload: Buffer | undefined, options: { peeks?: boolean }): Promise<number> {
  let errors = 0
  const attempt = async (work: () => unknown): Promise<void> => {
    try {
      await work()
    } catch (error) {
      if (!(error instanceof PbsfsError)) throw error
      errors++
    }
  }
  await attempt(async () => {
    const archive = await PxarArchive.open({
      meta: new MemoryStream(meta, options),
      ...(payload === undefined ? {} : { payload: new MemoryStream(payload, options) }),
    })
    await attempt(() => archive.readPrelude())
    await attempt(() => countLinks(archive))
    const pending = [{ end: archive.rootEnd, entryOfs: archive.rootEntryOfs }]
    let directories = 0
    while (pending.length > 0) {
      const { end, entryOfs } = pending.pop()!
      expect(++directories).toBeLessThan(20)
      await attempt(async () => {
        const table = await archive.openDir(end, entryOfs)
        errors += table.problemCount
        for (const { error } of table.problems) expect(error).toBeInstanceOf(PbsfsError)
        for (let i = 0; i < table.count; i++) {
          const record = createRecord()
          table.entryAt(i, record)
          expect(table.find(table.nameAt(i))).toBe(i)
          await attempt(() => archive.attributes(record))
          if (record.kind === KIND_DIR) {
            expect(record.end).toBeLessThan(end)
            pending.push({ end: record.end, entryOfs: record.entryOfs })
            await attempt(() => archive.readDirEntry(record.end))
            continue
          }
          await attempt(() => archive.readEntry(record.fileOfs))
          await attempt(() => archive.peekEntry(record.fileOfs, createRecord()))
          if (record.kind === KIND_SYMLINK) await attempt(() => archive.readLink(record))
          if (record.kind === KIND_FILE) {
            await attempt(async () => {
              const { stream, start, size } = await archive.contentOf(record)
              await stream.read(start, size)
            })
          }
        }
      })
    }
  })
  return errors
}

describe('damaged archives', () => {
  const a = file('a', 'hello', { xattrs: [['user.x', Buffer.from('y')]], aclUsers: [[5, 6]], fcaps: Buffer.alloc(20) })
  const device: SourceNode = { kind: 'char', name: Buffer.from('c'), major: 1, minor: 2 }
  const root = dir('', [a, device, dir('d', [file('b', 'bb', { v1: true }), symlink('s', 'target')]), hardlink('e', a, 'a')], {
    aclDefault: [7n, 5n, 0n, 2n ** 64n - 1n],
  })

  for (const split of [false, true]) {
    const { meta, payload } = encodeArchive(root, { split, ...(split ? { prelude: Buffer.from('{}') } : {}) })
    const name = split ? 'split' : 'classic'

    it(`${name}: intact, nothing fails`, async () => {
      expect(await useAll(meta, payload, {})).toBe(0)
    })

    it(`${name}: every byte changed: a value or a named error`, async () => {
      for (let at = 0; at < meta.length; at++) {
        for (const flip of [0x01, 0x80, 0xff]) {
          const copy = Buffer.from(meta)
          copy[at]! ^= flip
          await useAll(copy, payload, at % 2 === 0 ? {} : { peeks: false })
        }
      }
    })

    it(`${name}: cut off anywhere: a named error`, async () => {
      for (let length = 0; length < meta.length; length++) {
        expect(await useAll(meta.subarray(0, length), payload, {})).toBeGreaterThan(0)
      }
    })

    it(`${name}: random spans overwritten`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.nat({ max: meta.length - 9 }), fc.uint8Array({ minLength: 1, maxLength: 8 }), async (at, junk) => {
          const copy = Buffer.from(meta)
          copy.set(junk, at)
          await useAll(copy, payload, {})
        }),
        { numRuns: 500 },
      )
    })
  }

  it('payload stream: every byte changed, cut off anywhere', async () => {
    const { meta, payload } = encodeArchive(root, { split: true })
    for (let at = 0; at < payload!.length; at++) {
      const copy = Buffer.from(payload!)
      copy[at]! ^= 0x10
      await useAll(meta, copy, {})
      await useAll(meta, payload!.subarray(0, at), { peeks: false })
    }
  })
})
