import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CatalogWriter } from './catalog-writer.js'
import { ChunkStore } from './chunk-store.js'
import { BackupKey } from './cipher.js'
import { ChunkedStream, type FinishedIndex } from './chunked-stream.js'
import { ContentPool } from './content.js'
import { plainTreeWriter } from './plain-tree.js'
import { MTIME_SEC, PxarWriter } from './pxar-writer.js'
import { writeSnapshot, type SnapshotFile } from './snapshot-writer.js'
import { visitTree, type TreePlan } from './tree-plan.js'

const MiB = 1024 * 1024
const POOL_BYTES = 64 * MiB
/** Time of every snapshot of which a group has only one. */
export const SNAPSHOT_TIME = 1_767_225_600
const DAY = 86_400

/** What can be written, each on its own. All but `many` and `plain` go into one datastore. */
export type PartSpec =
  | { readonly kind: 'split' | 'classic' | 'plain'; readonly name: string; readonly tree: TreePlan }
  | { readonly kind: 'image' | 'encrypted'; readonly name: string; readonly bytes: number }
  /** A store of its own: one group of half of the snapshots, the others in groups of 100. */
  | { readonly kind: 'many'; readonly name: string; readonly snapshots: number }

/** Where parts lie below the folder of a data set. */
export const PLACES = {
  store: (folder: string) => join(folder, 'store'),
  many: (folder: string, name: string) => join(folder, name),
  plain: (folder: string, name: string) => join(folder, name),
  /** Key of what is encrypted in the store. */
  key: (folder: string) => join(folder, 'encrypted.key'),
  /** There once the part is complete. */
  mark: (folder: string, name: string) => join(folder, `${name}.complete`),
}

/** Of the encrypted part. */
export const KEY = new BackupKey('bench')

export const IMAGE_NAME = 'drive-scsi0.img'

/** Writes the parts that are not there yet. */
export function writeParts(folder: string, parts: readonly PartSpec[]): void {
  mkdirSync(folder, { recursive: true })
  const store = PLACES.store(folder)
  const chunks = new ChunkStore(store)
  const pool = new ContentPool(POOL_BYTES)
  for (const part of parts) {
    const mark = PLACES.mark(folder, part.name)
    if (existsSync(mark)) continue
    switch (part.kind) {
      case 'split':
        writeSplit(store, chunks, pool, part.name, part.tree)
        break
      case 'classic':
        writeClassic(store, chunks, pool, part.name, part.tree)
        break
      case 'image':
        writeImage(store, chunks, pool, part.name, part.bytes)
        break
      case 'encrypted':
        writeFileSync(PLACES.key(folder), KEY.toFile(), { mode: 0o600 })
        writeImage(store, new ChunkStore(store, KEY), pool, part.name, part.bytes, KEY)
        break
      case 'plain':
        visitTree(part.tree, pool, plainTreeWriter(PLACES.plain(folder, part.name)))
        break
      case 'many':
        writeMany(PLACES.many(folder, part.name), part.snapshots)
        break
    }
    writeFileSync(mark, '')
  }
}

function fileOf(name: string, index: FinishedIndex): SnapshotFile {
  return { name, ...index }
}

function writeSplit(store: string, chunks: ChunkStore, pool: ContentPool, id: string, tree: TreePlan): void {
  const meta = new ChunkedStream(chunks, 'content', 11)
  const payload = new ChunkedStream(chunks, 'content-and-files', 12)
  const writer = new PxarWriter(meta, payload)
  visitTree(tree, pool, writer)
  writer.finish()
  const files = [fileOf('root.mpxar.didx', meta.finish()), fileOf('root.ppxar.didx', payload.finish())]
  writeSnapshot(store, { type: 'host', id, time: SNAPSHOT_TIME }, files)
}

function writeClassic(store: string, chunks: ChunkStore, pool: ContentPool, id: string, tree: TreePlan): void {
  const name = 'root.pxar.didx'
  const stream = new ChunkedStream(chunks, 'content', 13)
  const catalogStream = new ChunkedStream(chunks, 'content', 14)
  const writer = new PxarWriter(stream)
  const catalog = new CatalogWriter(catalogStream, name)
  visitTree(tree, pool, {
    beginFolder: (folder) => {
      writer.beginFolder(folder)
      catalog.beginFolder(folder)
    },
    endFolder: () => {
      writer.endFolder()
      catalog.endFolder()
    },
    file: (file, size, pieces) => {
      writer.file(file, size, pieces)
      catalog.file(file, size, MTIME_SEC)
    },
  })
  writer.finish()
  catalog.finish()
  const files = [fileOf(name, stream.finish()), fileOf('catalog.pcat1.didx', catalogStream.finish())]
  writeSnapshot(store, { type: 'host', id, time: SNAPSHOT_TIME }, files)
}

function writeImage(store: string, chunks: ChunkStore, pool: ContentPool, id: string, bytes: number, key?: BackupKey): void {
  const stream = new ChunkedStream(chunks, 'fixed', 15)
  pool.forEachPiece(1_000_003, bytes, (piece) => stream.write(piece))
  writeSnapshot(store, { type: 'vm', id, time: SNAPSHOT_TIME }, [fileOf(`${IMAGE_NAME}.fidx`, stream.finish())], key)
}

function writeMany(store: string, snapshots: number): void {
  const stream = new ChunkedStream(new ChunkStore(store), 'fixed', 16)
  stream.write(Buffer.alloc(4 * MiB, 'many'))
  const files = [fileOf(`${IMAGE_NAME}.fidx`, stream.finish())]
  const inOne = Math.floor(snapshots / 2)
  for (let i = 0; i < snapshots; i++) {
    const id = i < inOne ? '100' : String(101 + Math.floor((i - inOne) / 100))
    writeSnapshot(store, { type: 'vm', id, time: SNAPSHOT_TIME - i * DAY / 4 }, files)
  }
}
