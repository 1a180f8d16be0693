/**
 * Writes pxar archives for tests, from a description of a tree. Follows the format's rules unless
 * told otherwise: `bend` puts a chosen wrong thing at one place.
 */

export const TYPE = {
  formatVersion: 0x730f6c75df16a40dn,
  prelude: 0xe309d79d9f7b771bn,
  entry: 0xd5956474e588acefn,
  entryV1: 0x11da850a1c1cceffn,
  filename: 0x16701121063917b3n,
  symlink: 0x27f971e7dbf5dc5fn,
  hardlink: 0x51269c8422bd7275n,
  device: 0x9fc9e906586d5ce9n,
  xattr: 0x0dab0229b57dcd03n,
  fcaps: 0x2da9dd9db5f7fb67n,
  quotaProjid: 0xe07540e82f7d1cbbn,
  aclUser: 0x2ce8540a457d55b8n,
  aclGroup: 0x136e3eceb04c03abn,
  aclGroupObj: 0x10868031e9582876n,
  aclDefault: 0xbbbb13415a6896f5n,
  aclDefaultUser: 0xc89357b40532cd1fn,
  aclDefaultGroup: 0xf90a8a5816038ffen,
  payload: 0x28147a1b0b7c1a25n,
  payloadRef: 0x419d3d6bc4ba977en,
  goodbye: 0x2fec4fa642d5731dn,
  tailMarker: 0xef5eed5b753e1555n,
  payloadStart: 0x834c68c2194a4ed2n,
  payloadTail: 0x6c72b78b984c81b5n,
} as const

export interface SourceStat {
  /** Permission bits; type bits are added. */
  perm?: number
  uid?: number
  gid?: number
  mtimeSec?: number
  mtimeNsec?: number
  flags?: bigint
  /** Write ENTRY_V1; the time must not be negative. */
  v1?: boolean
  xattrs?: readonly (readonly [string, Uint8Array])[]
  fcaps?: Uint8Array
  projid?: bigint
  /** (id, perm) pairs. */
  aclUsers?: readonly (readonly [number, number])[]
  aclGroups?: readonly (readonly [number, number])[]
  aclGroupObj?: number
  /** user, group, other, mask; 2^64-1 for "absent". */
  aclDefault?: readonly [bigint, bigint, bigint, bigint]
  aclDefaultUsers?: readonly (readonly [number, number])[]
  aclDefaultGroups?: readonly (readonly [number, number])[]
}

/** A wrong thing at one entry. */
export interface Bend {
  /** Bytes in place of the whole FILENAME item. */
  filename?: Uint8Array
  /** Bytes in place of everything behind the FILENAME item. */
  body?: Uint8Array
  /** Items between the attributes and the terminal item. */
  extra?: Uint8Array
  /** Items behind the terminal item (inside the extent). */
  after?: Uint8Array
  /** Full mode. */
  mode?: bigint
  hash?: bigint
  extent?: bigint
  distance?: bigint
  /** Hard links: distance to the target. */
  delta?: bigint
  /** No row at all. */
  unlisted?: boolean
}

interface Named {
  name: Uint8Array
  bend?: Bend
}
export type SourceNode =
  | (Named & SourceStat & { kind: 'file'; content: Uint8Array })
  | (Named & SourceStat & { kind: 'dir'; children: readonly SourceNode[] })
  | (Named & SourceStat & { kind: 'symlink'; target: Uint8Array })
  | (Named & SourceStat & { kind: 'char' | 'block'; major: number; minor: number })
  | (Named & SourceStat & { kind: 'fifo' | 'socket' })
  | (Named & { kind: 'hardlink'; to: SourceNode; path: Uint8Array })
export type SourceDir = Extract<SourceNode, { kind: 'dir' }>

export interface EncodeOptions {
  split?: boolean
  /** Text of a PRELUDE (split only). */
  prelude?: Uint8Array
  /** File rows of a split archive: without the content (reused) instead of with it (encoded anew). */
  exactExtents?: boolean
  /** FORMAT_VERSION of a classic archive, where there is none usually. */
  writeVersion?: bigint
}

export interface Encoded {
  meta: Buffer
  /** Split archives only. */
  payload: Buffer | undefined
  /** FILENAME offset of each node. */
  places: Map<SourceNode, number>
}

const FILE_TYPE = { file: 0o100000, dir: 0o040000, symlink: 0o120000, char: 0o020000, block: 0o060000, fifo: 0o010000, socket: 0o140000 } as const

export function u64(...values: (bigint | number)[]): Buffer {
  const out = Buffer.alloc(values.length * 8)
  values.forEach((value, i) => out.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), i * 8))
  return out
}

export function item(type: bigint, content: Uint8Array = Buffer.alloc(0)): Buffer {
  return Buffer.concat([u64(type, 16 + content.length), content])
}

export function filename(name: Uint8Array): Buffer {
  return item(TYPE.filename, Buffer.concat([name, Buffer.alloc(1)]))
}

export function statItem(stat: SourceStat, mode: bigint): Buffer {
  const out = Buffer.alloc(stat.v1 === true ? 32 : 40)
  out.writeBigUInt64LE(mode, 0)
  out.writeBigUInt64LE(stat.flags ?? 0n, 8)
  out.writeUInt32LE(stat.uid ?? 0, 16)
  out.writeUInt32LE(stat.gid ?? 0, 20)
  const sec = BigInt(stat.mtimeSec ?? 0)
  const nsec = stat.mtimeNsec ?? 0
  if (stat.v1 === true) {
    out.writeBigUInt64LE(sec * 1_000_000_000n + BigInt(nsec), 24)
    return item(TYPE.entryV1, out)
  }
  out.writeBigInt64LE(sec, 24)
  out.writeUInt32LE(nsec, 32)
  return item(TYPE.entry, out)
}

export function attributeItems(stat: SourceStat): Buffer {
  const named = (type: bigint, list: readonly (readonly [number, number])[] | undefined): Buffer[] =>
    (list ?? []).map(([id, perm]) => item(type, u64(id, perm)))
  return Buffer.concat([
    ...(stat.xattrs ?? []).map(([name, value]) => item(TYPE.xattr, Buffer.concat([Buffer.from(name + '\0', 'latin1'), value]))),
    ...named(TYPE.aclUser, stat.aclUsers),
    ...named(TYPE.aclGroup, stat.aclGroups),
    ...(stat.aclGroupObj === undefined ? [] : [item(TYPE.aclGroupObj, u64(stat.aclGroupObj))]),
    ...(stat.aclDefault === undefined ? [] : [item(TYPE.aclDefault, u64(...stat.aclDefault))]),
    ...named(TYPE.aclDefaultUser, stat.aclDefaultUsers),
    ...named(TYPE.aclDefaultGroup, stat.aclDefaultGroups),
    ...(stat.fcaps === undefined ? [] : [item(TYPE.fcaps, stat.fcaps)]),
    ...(stat.projid === undefined ? [] : [item(TYPE.quotaProjid, u64(stat.projid))]),
  ])
}

/** SipHash-2-4 by the book, on BigInt: independent of the program's. */
export function sipHash(bytes: Uint8Array): bigint {
  const mask = (1n << 64n) - 1n
  const rotl = (x: bigint, n: bigint): bigint => ((x << n) | (x >> (64n - n))) & mask
  const k0 = 0x83ac3f1cfbb450dbn
  const k1 = 0xaa4f1b6879369fbdn
  let [v0, v1, v2, v3] = [k0 ^ 0x736f6d6570736575n, k1 ^ 0x646f72616e646f6dn, k0 ^ 0x6c7967656e657261n, k1 ^ 0x7465646279746573n]
  const rounds = (count: number): void => {
    for (let i = 0; i < count; i++) {
      v0 = (v0 + v1) & mask
      v1 = rotl(v1, 13n) ^ v0
      v0 = rotl(v0, 32n)
      v2 = (v2 + v3) & mask
      v3 = rotl(v3, 16n) ^ v2
      v0 = (v0 + v3) & mask
      v3 = rotl(v3, 21n) ^ v0
      v2 = (v2 + v1) & mask
      v1 = rotl(v1, 17n) ^ v2
      v2 = rotl(v2, 32n)
    }
  }
  const padded = Buffer.alloc(Math.floor(bytes.length / 8) * 8 + 8)
  padded.set(bytes)
  padded[padded.length - 1] = bytes.length & 0xff
  for (let at = 0; at < padded.length; at += 8) {
    const m = padded.readBigUInt64LE(at)
    v3 ^= m
    rounds(2)
    v0 ^= m
  }
  v2 ^= 0xffn
  rounds(4)
  return v0 ^ v1 ^ v2 ^ v3
}

export interface Row {
  hash: bigint
  distance: bigint
  extent: bigint
}

/** Rows in the order of a table: sorted by hash, placed as a complete binary tree. */
export function heapOrder(rows: readonly Row[]): Row[] {
  const sorted = [...rows].sort((a, b) => (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : 0))
  const placed: Row[] = []
  let next = 0
  const place = (i: number): void => {
    if (i >= sorted.length) return
    place(2 * i + 1)
    placed[i] = sorted[next++]!
    place(2 * i + 2)
  }
  place(0)
  return placed
}

export function encodeArchive(root: SourceDir, options: EncodeOptions = {}): Encoded {
  return new Encoder(options).encode(root)
}

class Encoder {
  readonly #options: EncodeOptions
  readonly #parts: Buffer[] = []
  #pos = 0
  readonly #payload: Buffer[] = [item(TYPE.payloadStart)]
  #payloadPos = 16
  readonly #places = new Map<SourceNode, number>()

  constructor(options: EncodeOptions) {
    this.#options = options
  }

  encode(root: SourceDir): Encoded {
    const version = this.#options.split === true ? 2n : this.#options.writeVersion
    if (version !== undefined) this.#put(item(TYPE.formatVersion, u64(version)))
    if (this.#options.prelude !== undefined) this.#put(item(TYPE.prelude, this.#options.prelude))
    this.#directory(root, 0)
    this.#payload.push(item(TYPE.payloadTail))
    return {
      meta: Buffer.concat(this.#parts),
      payload: this.#options.split === true ? Buffer.concat(this.#payload) : undefined,
      places: this.#places,
    }
  }

  #put(bytes: Uint8Array): void {
    this.#parts.push(Buffer.from(bytes))
    this.#pos += bytes.length
  }

  #head(node: Exclude<SourceNode, { kind: 'hardlink' }>): void {
    const mode = node.bend?.mode ?? BigInt(FILE_TYPE[node.kind] | (node.perm ?? 0o644))
    this.#put(statItem(node, mode))
    this.#put(attributeItems(node))
    if (node.bend?.extra !== undefined) this.#put(node.bend.extra)
  }

  /** `tailAt`: what the tail row calls the start of the directory. */
  #directory(dir: SourceDir, tailAt: number): void {
    this.#head(dir)
    const rows: { start: number; row: Row; bend: Bend | undefined }[] = []
    for (const child of dir.children) {
      const start = this.#pos
      const content = this.#child(child)
      const extent = BigInt(this.#pos - start + content)
      const row = { hash: child.bend?.hash ?? sipHash(child.name), distance: 0n, extent: child.bend?.extent ?? extent }
      if (child.bend?.unlisted !== true) rows.push({ start, row, bend: child.bend })
    }
    const table = this.#pos
    for (const { start, row, bend } of rows) row.distance = bend?.distance ?? BigInt(table - start)
    const size = 16 + 24 * (rows.length + 1)
    const ordered = heapOrder(rows.map(({ row }) => row))
    this.#put(u64(TYPE.goodbye, size))
    for (const row of ordered) this.#put(u64(row.hash, row.distance, row.extent))
    this.#put(u64(TYPE.tailMarker, table - tailAt, size))
  }

  /** Returns the bytes of content that a split archive counts into the row. */
  #child(node: SourceNode): number {
    const start = this.#pos
    this.#places.set(node, start)
    this.#put(node.bend?.filename ?? filename(node.name))
    if (node.bend?.body !== undefined) {
      this.#put(node.bend.body)
      return 0
    }
    const content = this.#body(node, start)
    if (node.bend?.after !== undefined) this.#put(node.bend.after)
    return content
  }

  #body(node: SourceNode, start: number): number {
    switch (node.kind) {
      case 'dir':
        this.#directory(node, this.#pos)
        return 0
      case 'hardlink': {
        const delta = node.bend?.delta ?? BigInt(start - this.#places.get(node.to)!)
        this.#put(item(TYPE.hardlink, Buffer.concat([u64(delta), node.path, Buffer.alloc(1)])))
        return 0
      }
      case 'symlink':
        this.#head(node)
        this.#put(item(TYPE.symlink, Buffer.concat([node.target, Buffer.alloc(1)])))
        return 0
      case 'char':
      case 'block':
        this.#head(node)
        this.#put(item(TYPE.device, u64(node.major, node.minor)))
        return 0
      case 'file':
        this.#head(node)
        return this.#content(node.content)
      default:
        this.#head(node)
        return 0
    }
  }

  #content(content: Uint8Array): number {
    if (this.#options.split !== true) {
      this.#put(item(TYPE.payload, content))
      return 0
    }
    this.#put(item(TYPE.payloadRef, u64(this.#payloadPos, content.length)))
    this.#payload.push(item(TYPE.payload, content))
    this.#payloadPos += 16 + content.length
    return this.#options.exactExtents === true ? 0 : content.length
  }
}

/** Short ways to write trees. */
export const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')
export const file = (name: string, content: string | Uint8Array = '', more: SourceStat & { bend?: Bend } = {}): SourceNode => ({
  kind: 'file', name: bytes(name), content: typeof content === 'string' ? bytes(content) : content, ...more,
}) // prettier-ignore
export const dir = (name: string, children: readonly SourceNode[] = [], more: SourceStat & { bend?: Bend } = {}): SourceDir => ({
  kind: 'dir', name: bytes(name), children, perm: 0o755, ...more,
}) // prettier-ignore
export const symlink = (name: string, target: string, more: SourceStat & { bend?: Bend } = {}): SourceNode => ({
  kind: 'symlink', name: bytes(name), target: bytes(target), perm: 0o777, ...more,
}) // prettier-ignore
export const hardlink = (name: string, to: SourceNode, path = '', bend?: Bend): SourceNode => ({
  kind: 'hardlink', name: bytes(name), to, path: bytes(path), ...(bend === undefined ? {} : { bend }),
}) // prettier-ignore
