import { archivesOf, type Archive } from '../source/archives.js'
import { NodeError } from '../errors/errors.js'
import type { SnapshotManifest, SnapshotRef } from '../source/datastore.js'
import { CLIENT_LOG_NAME, MANIFEST_NAME } from '../source/names.js'
import { parseSnapshotTime } from '../source/snapshot-time.js'
import { ArchiveRoot } from './archive-root.js'
import type { ArchiveSpec } from './archive-set.js'
import { ChangingFileNode, FileNode, type FileState } from './file-nodes.js'
import { linkPass } from './link-pass.js'
import { LiveDir, type Child, type Children } from './live-dir.js'
import type { StoreContext } from './store-context.js'
import type { NodeId } from './tree.js'
import { LIVE_TTL, type VirtualNode, type Xattrs } from './virtual-node.js'
import { XATTR } from './xattr-names.js'

const S_IFDIR = 0o40000
const S_IFREG = 0o100000

/** A snapshot: its archives as folders, images and blobs as files, manifest and log beside them. */
export class SnapshotDir extends LiveDir {
  readonly #context: StoreContext
  readonly #snapshot: SnapshotRef
  readonly #time: number
  #seen: SnapshotManifest | undefined

  constructor(id: NodeId, parent: VirtualNode | undefined, path: string, context: StoreContext, snapshot: SnapshotRef) {
    super(id, parent, path, context.registry, context.owner)
    this.#context = context
    this.#snapshot = snapshot
    this.#time = parseSnapshotTime(snapshot.time) ?? context.since
  }

  protected async load(): Promise<Children> {
    const { manifest } = await this.#look()
    const files = await this.#context.datastore.listFiles(this.#snapshot, manifest)
    const archives = archivesOf(manifest)
    const names = new Map<string, Child>()
    for (const archive of archives) names.set(archive.name, this.#child(archive, archives))
    for (const file of [MANIFEST_NAME, CLIENT_LOG_NAME]) {
      const shown = file.slice(0, -'.blob'.length)
      const present = files.some((found) => found.name === file && found.stamp !== undefined)
      if (present && !names.has(shown)) names.set(shown, this.#changing(file))
    }
    return new Map([...names].sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  /** The manifest as it is now; read again only when the file is another one. */
  async #look(): Promise<SnapshotManifest> {
    const info = await this.#context.datastore.snapshotInfo(this.#snapshot)
    if (info === undefined) throw new NodeError('ENOENT', `${this.path}: the snapshot is gone`)
    if (this.#seen?.stamp.identity !== info.stamp.identity) {
      this.#seen = await this.#context.datastore.readManifest(this.#snapshot)
    }
    return { ...this.#seen, protected: info.protected }
  }

  protected mtime(): number {
    return this.#time
  }

  override async xattrs(): Promise<Xattrs> {
    const { datastore } = this.#context
    const [{ manifest, protected: isProtected }, { owner }] = await Promise.all([
      this.#look(),
      datastore.groupInfo(this.#snapshot.group),
    ])
    const modes = manifest.files.map((file) => file.cryptMode)
    const texts: [string, string | undefined][] = [
      [XATTR.owner, owner],
      [XATTR.protected, isProtected ? '1' : '0'],
      [XATTR.notes, manifest.notes],
      [XATTR.verify, manifest.verify?.state],
      [XATTR.encrypted, modes.includes('encrypt') ? 'encrypt' : modes.includes('sign-only') ? 'sign-only' : 'none'],
      [XATTR.size, String(manifest.files.reduce((sum, file) => sum + file.size, 0))],
      [XATTR.error, manifest.problems.length === 0 ? undefined : manifest.problems.join('\n')],
    ]
    return new Map(texts.flatMap(([name, text]) => (text === undefined ? [] : [[name, Buffer.from(text)]])))
  }

  #child(archive: Archive, all: readonly Archive[]): Child {
    const version = archive.files.map((file) => file.csum).join('')
    if (archive.kind === 'pxar' || archive.kind === 'split-pxar') {
      return {
        type: S_IFDIR,
        version,
        make: (id, parent, path) => this.#archiveRoot(id, parent, path, archive, all, `${path}\0${version}`),
      }
    }
    return { type: S_IFREG, version, make: (id, parent, path) => this.#file(id, parent, path, archive) }
  }

  #archiveRoot(
    id: NodeId,
    parent: VirtualNode,
    path: string,
    archive: Archive,
    all: readonly Archive[],
    key: string,
  ): VirtualNode {
    const { opener, archives, owner } = this.#context
    const [meta, payload] = archive.files
    const catalog = archive.kind === 'pxar' ? all.find((other) => other.kind === 'catalog')?.files[0] : undefined
    const spec: ArchiveSpec = {
      key,
      name: path,
      openStreams: async () => ({
        meta: await opener.openIndex(this.#snapshot, meta!),
        ...(payload === undefined ? {} : { payload: await opener.openIndex(this.#snapshot, payload) }),
      }),
      countLinks: linkPass(
        catalog === undefined ? undefined : () => opener.openIndex(this.#snapshot, catalog),
        meta!.filename,
      ),
    }
    const opening = { mtimeSec: this.#time, open: () => archives.open(spec, id) }
    return new ArchiveRoot(id, parent, path, owner, opening, { entryTtl: LIVE_TTL })
  }

  #file(id: NodeId, parent: VirtualNode, path: string, archive: Archive): VirtualNode {
    const { opener, owner } = this.#context
    const file = archive.files[0]!
    const missing = missingHalf(archive)
    return new FileNode(id, parent, path, owner, {
      mtimeSec: this.#time,
      sizeHint: archive.size,
      ...(missing === undefined ? {} : { xattrs: new Map([[XATTR.error, Buffer.from(missing)]]) }),
      open: () =>
        archive.kind === 'blob'
          ? opener.openBlob(this.#snapshot, file.filename)
          : opener.openIndex(this.#snapshot, file),
    })
  }

  #changing(filename: string): Child {
    const load = async (): Promise<FileState> => {
      const [blob, files] = await Promise.all([
        this.#context.opener.openBlob(this.#snapshot, filename),
        this.#context.datastore.listFiles(this.#snapshot),
      ])
      const mtimeMs = files.find((file) => file.name === filename)?.stamp?.mtimeMs ?? 0
      return {
        bytes: await blob.read(0, blob.size),
        mtimeSec: Math.floor(mtimeMs / 1000),
        mtimeNsec: Math.floor((mtimeMs - Math.floor(mtimeMs / 1000) * 1000) * 1e6),
      }
    }
    return {
      type: S_IFREG,
      make: (id, parent, path) => new ChangingFileNode(id, parent, path, this.#context.owner, load),
    }
  }
}

/** What a lone half of a split archive lacks, for a person. */
function missingHalf(archive: Archive): string | undefined {
  const filename = archive.files[0]!.filename
  if (archive.kind === 'lone-meta') {
    return `half of a split archive: the file contents, ${filename.replace('.mpxar.', '.ppxar.')}, are not in the manifest`
  }
  if (archive.kind === 'lone-payload') {
    return `half of a split archive: the file names, ${filename.replace('.ppxar.', '.mpxar.')}, are not in the manifest`
  }
  return undefined
}
