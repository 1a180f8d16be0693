import fc from 'fast-check'
import { bytes, type SourceDir, type SourceNode, type SourceStat } from './pxar-encoder.js'

/** Random trees for property tests: every kind, attributes, hard links, names of any bytes. */

const u32 = fc.integer({ min: 0, max: 0xffff_ffff })
const perms = fc.uniqueArray(fc.tuple(fc.integer({ min: 0, max: 0xffff_fffe }), fc.integer({ min: 0, max: 7 })), { selector: ([id]) => id, maxLength: 3 })
  .map((list) => list.sort(([a], [b]) => a - b)) // prettier-ignore

export const anyName = fc
  .oneof(fc.uint8Array({ minLength: 1, maxLength: 20 }), fc.uint8Array({ minLength: 255, maxLength: 255 }), fc.string({ minLength: 1, maxLength: 8 }).map((s) => Buffer.from(s)))
  .map((name) => Buffer.from(name).map((byte) => (byte === 0 || byte === 0x2f ? 0x61 : byte)).subarray(0, 255)) // prettier-ignore
  .filter((name) => !['.', '..', ''].includes(Buffer.from(name).toString('latin1')))

const anyStat: fc.Arbitrary<SourceStat> = fc.record(
  {
    perm: fc.integer({ min: 0, max: 0o7777 }),
    uid: u32,
    gid: u32,
    mtimeSec: fc.integer({ min: 0, max: 18_446_744_072 }),
    mtimeNsec: fc.integer({ min: 0, max: 999_999_999 }),
    flags: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    v1: fc.boolean(),
    xattrs: fc.uniqueArray(fc.tuple(fc.constantFrom('user.a', 'user.b', 'trusted.x', 'user.\xff'), fc.uint8Array({ maxLength: 600 })), { selector: ([name]) => name, maxLength: 3 }),
    fcaps: fc.uint8Array({ minLength: 20, maxLength: 24 }),
    projid: fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }),
    aclUsers: perms,
    aclGroups: perms,
    aclGroupObj: fc.integer({ min: 0, max: 7 }),
  },
  { requiredKeys: [] },
).map((stat) => (stat.v1 === true ? stat : { ...stat, mtimeSec: (stat.mtimeSec ?? 0) - 5_000_000_000 })) // prettier-ignore

const anyNode = fc.letrec<{ node: SourceNode }>((tie) => {
  const with_ = <T extends object>(rest: fc.Arbitrary<T>): fc.Arbitrary<T & SourceStat & { name: Uint8Array }> =>
    fc.tuple(rest, anyStat, anyName).map(([own, stat, name]) => ({ ...stat, ...own, name }))
  const content = fc.oneof(fc.uint8Array({ maxLength: 50 }), fc.uint8Array({ minLength: 400, maxLength: 3000 }), fc.constant(Buffer.alloc(40_000, 7)))
  return {
    node: fc.oneof(
      { maxDepth: 3, depthSize: 'small', withCrossShrink: true },
      with_(fc.record({ kind: fc.constant('file' as const), content })),
      with_(fc.record({ kind: fc.constant('symlink' as const), target: anyName })),
      with_(fc.record({ kind: fc.constantFrom('char' as const, 'block' as const), major: u32, minor: u32 })),
      with_(fc.record({ kind: fc.constantFrom('fifo' as const, 'socket' as const) })),
      with_(fc.record({ kind: fc.constant('dir' as const), children: fc.array(tie('node'), { maxLength: 8 }) })),
    ),
  }
}).node

/** A root directory: unique names in byte order, and hard links after their targets. */
export const anyTree: fc.Arbitrary<SourceDir> = fc
  .tuple(anyStat, fc.array(anyNode, { maxLength: 10 }), fc.array(fc.nat(), { maxLength: 4 }))
  .map(([stat, children, links]) => {
    const root = sorted({ ...stat, kind: 'dir', name: Buffer.alloc(0), children })
    const files = filesOf(root, '')
    if (files.length === 0) return root
    // Names above all others: links come last in the root.
    const more = links.map((pick, i): SourceNode => {
      const { node, path } = files[pick % files.length]!
      return { kind: 'hardlink', name: Buffer.concat([Buffer.alloc(200, 0xff), bytes(String(i))]), to: node, path: bytes(path) }
    })
    return sorted({ ...root, children: [...root.children, ...more] })
  })

function sorted(dir: SourceDir): SourceDir {
  const byName = new Map<string, SourceNode>()
  for (const child of dir.children) {
    // A copied node keeps its identity only where it is used: links are made afterwards.
    const key = Buffer.from(child.name).toString('hex')
    if (!byName.has(key)) byName.set(key, child.kind === 'dir' ? sorted(child) : child)
  }
  return { ...dir, children: [...byName.values()].sort((a, b) => Buffer.compare(a.name, b.name)) }
}

function filesOf(dir: SourceDir, path: string): { node: SourceNode; path: string }[] {
  return dir.children.flatMap((child) => {
    const full = (path === '' ? '' : `${path}/`) + Buffer.from(child.name).toString('latin1')
    if (child.kind === 'dir') return filesOf(child, full)
    return child.kind === 'file' ? [{ node: child, path: full }] : []
  })
}
