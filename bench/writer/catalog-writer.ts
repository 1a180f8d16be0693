import type { ChunkedStream } from './chunked-stream.js'

const MAGIC = Buffer.from('91fd60f9c46758d5', 'hex')

/** Entries of one folder, not yet written: blocks of folders stand before the block that names them. */
interface OpenBlock {
  readonly name: string
  readonly files: Buffer[]
  readonly folders: { readonly name: string; readonly block: number }[]
}

/** The catalog that clients write beside classic archives. */
export class CatalogWriter {
  readonly #out: ChunkedStream
  readonly #open: OpenBlock[] = []

  constructor(out: ChunkedStream, archiveName: string) {
    this.#out = out
    out.write(MAGIC)
    this.beginFolder('')
    this.beginFolder(archiveName)
  }

  beginFolder(name: string): void {
    this.#open.push({ name, files: [], folders: [] })
  }

  file(name: string, size: number, mtimeSec: number): void {
    this.#open.at(-1)!.files.push(Buffer.concat([entry('f', name), varu(size), varu(mtimeSec)]))
  }

  endFolder(): void {
    const { name, files, folders } = this.#open.pop()!
    const block = this.#out.position
    const parts = [
      varu(files.length + folders.length),
      ...folders.map((folder) => Buffer.concat([entry('d', folder.name), varu(block - folder.block)])),
      ...files,
    ]
    const body = Buffer.concat(parts)
    this.#out.write(varu(body.length))
    this.#out.write(body)
    this.#open.at(-1)?.folders.push({ name, block })
    if (this.#open.length === 0) {
      const pointer = Buffer.alloc(8)
      pointer.writeBigUInt64LE(BigInt(block))
      this.#out.write(pointer)
    }
  }

  finish(): void {
    this.endFolder()
    this.endFolder()
  }
}

function entry(type: string, name: string): Buffer {
  return Buffer.concat([Buffer.from(type), varu(name.length), Buffer.from(name, 'latin1')])
}

/** A number below 2^53 in groups of seven bits, least significant first. */
function varu(value: number): Buffer {
  const out: number[] = []
  for (; value > 0x7f; value = Math.floor(value / 128)) out.push((value % 128) | 0x80)
  out.push(value)
  return Buffer.from(out)
}
