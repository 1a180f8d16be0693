import type { SourceDir } from './pxar-encoder.js'

/** Writes catalogs for tests. */

export const CATALOG_MAGIC = Buffer.from('91fd60f9c46758d5', 'hex')

export function varu(value: bigint | number): Buffer {
  const out: number[] = []
  let rest = BigInt(value)
  do {
    out.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0))
    rest >>= 7n
  } while (rest > 0n)
  return Buffer.from(out)
}

export function vari(value: bigint | number): Buffer {
  if (BigInt(value) >= 0n) return varu(value)
  const out: number[] = []
  for (let rest = -BigInt(value); rest > 0n; rest >>= 7n) out.push(Number(rest & 0x7fn) | 0x80)
  return Buffer.from([...out, 0])
}

export function catalogEntry(type: string, name: string | Uint8Array, ...rest: Buffer[]): Buffer {
  const bytes = typeof name === 'string' ? Buffer.from(name, 'latin1') : Buffer.from(name)
  return Buffer.concat([Buffer.from(type), varu(bytes.length), bytes, ...rest])
}

export class CatalogWriter {
  readonly #parts: Buffer[] = [CATALOG_MAGIC]
  #pos = 8

  /** Where the next block goes: directories refer to their block by the distance from it. */
  get position(): number {
    return this.#pos
  }

  block(entries: readonly Buffer[], count = entries.length): number {
    const start = this.#pos
    const content = Buffer.concat([varu(count), ...entries])
    this.raw(Buffer.concat([varu(content.length), content]))
    return start
  }

  raw(bytes: Buffer): void {
    this.#parts.push(bytes)
    this.#pos += bytes.length
  }

  finish(root: number): Buffer {
    const pointer = Buffer.alloc(8)
    pointer.writeBigUInt64LE(BigInt(root))
    return Buffer.concat([...this.#parts, pointer])
  }

  /** The block of a directory and all below it. */
  tree(dir: SourceDir): number {
    const children = dir.children.map((child) => ({ child, block: child.kind === 'dir' ? this.tree(child) : 0 }))
    const at = this.#pos
    return this.block(
      children.map(({ child, block }) => {
        switch (child.kind) {
          case 'dir':
            return catalogEntry('d', child.name, varu(at - block))
          case 'file':
            return catalogEntry('f', child.name, varu(child.content.length), vari(child.mtimeSec ?? 0))
          default:
            return catalogEntry({ symlink: 'l', hardlink: 'h', block: 'b', char: 'c', fifo: 'p', socket: 's' }[child.kind], child.name)
        }
      }),
    )
  }
}

/** A catalog of whole archives. */
export function encodeCatalog(archives: Record<string, SourceDir>): Buffer {
  const writer = new CatalogWriter()
  const blocks = Object.entries(archives).map(([name, root]): [string, number] => [name, writer.tree(root)])
  const at = writer.position
  return writer.finish(writer.block(blocks.map(([name, block]) => catalogEntry('d', name, varu(at - block)))))
}
