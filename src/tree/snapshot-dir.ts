import { archivesOf, findArchive, type Archive } from '../source/archives.js'
import { FormatError, NodeError } from '../errors/errors.js'
import type { SnapshotManifest, SnapshotRef } from '../source/datastore.js'
import { CLIENT_LOG_NAME, MANIFEST_NAME } from '../source/names.js'
import { parseSnapshotTime } from '../source/snapshot-time.js'
import type { DiskSet } from '../volumes/disk-set.js'
import { identityOf, isImage, PARTS_SUFFIX, versionOf, versionOfImages } from './archive-versions.js'
import { ArchiveRoot } from './archive-root.js'
import type { ArchiveSpec } from './archive-set.js'
import { ChangingFileNode, FileNode, type FileState } from './file-nodes.js'
import { linkPass } from './link-pass.js'
import { LiveDir, type Child, type Children } from './live-dir.js'
import { PartsDir } from './parts-dir.js'
import type { StoreContext } from './store-context.js'
import { SnapshotGuard } from './snapshot-hold.js'
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
  readonly #inside: SnapshotGuard | undefined
  #seen: SnapshotManifest | undefined
  #disks: { readonly version: string; readonly set: Promise<DiskSet> } | undefined

  constructor(id: NodeId, parent: VirtualNode | undefined, path: string, context: StoreContext, snapshot: SnapshotRef) {
    super(id, parent, path, context.registry, context.owner)
    this.#context = context
    this.#snapshot = snapshot
    this.#time = parseSnapshotTime(snapshot.time) ?? context.since
    const hold = context.holds?.of(snapshot)
    if (hold !== undefined) this.#inside = new SnapshotGuard(hold)
  }

  /** A look at the folder itself needs no lock, one into it does. */
  override get inside(): SnapshotGuard | undefined {
    return this.#inside
  }

  protected async load(): Promise<Children> {
    const seen = await this.#look()
    const { manifest } = seen
    const files = await this.#context.datastore.listFiles(this.#snapshot, manifest)
    const archives = archivesOf(manifest)
    const names = new Map<string, Child>()
    for (const archive of archives) names.set(archive.name, this.#child(archive, archives, seen))
    for (const file of [MANIFEST_NAME, CLIENT_LOG_NAME]) {
      const shown = file.slice(0, -'.blob'.length)
      const present = files.some((found) => found.name === file && found.stamp !== undefined)
      if (present && !names.has(shown)) names.set(shown, this.#changing(file))
    }
    const images = archives.filter(isImage)
    const version = versionOfImages(images)
    for (const { name } of images) {
      const folder = name + PARTS_SUFFIX
      if (!names.has(folder)) names.set(folder, this.#parts(name, images, version, seen))
    }
    return new Map([...names].sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  /** The manifest as it is now; read again only when the file is another one. */
  async #look(): Promise<SnapshotManifest> {
    const info = await this.#context.datastore.snapshotInfo(this.#snapshot)
    if (info === undefined) throw new NodeError('ENOENT', `${this.path}: the snapshot is gone`)
    if (this.#seen?.stamp.identity !== info.stamp.identity) {
      this.#seen = await this.#context.datastore.readManifest(this.#snapshot)
      for (const warning of this.#seen.warnings) {
        this.#context.report(new FormatError(`${this.path}: ${warning}`, { stream: this.path }), this.path)
      }
    }
    return { ...this.#seen, protected: info.protected }
  }

  protected mtime(): number {
    return this.#time
  }

  override async xattrs(): Promise<Xattrs> {
    const { datastore, opener } = this.#context
    const [seen, { owner }] = await Promise.all([this.#look(), datastore.groupInfo(this.#snapshot.group)])
    const { manifest, protected: isProtected } = seen
    const { signature, needs, refusal } = await opener.trust(this.#snapshot, seen)
    const problems = [...(refusal === undefined ? [] : [refusal.message]), ...manifest.problems, ...seen.warnings]
    const modes = manifest.files.map((file) => file.cryptMode)
    const texts: [string, string | undefined][] = [
      [XATTR.owner, owner],
      [XATTR.protected, isProtected ? '1' : '0'],
      [XATTR.notes, manifest.notes],
      [XATTR.verify, manifest.verify?.state],
      [XATTR.encrypted, modes.includes('encrypt') ? 'encrypt' : modes.includes('sign-only') ? 'sign-only' : 'none'],
      [XATTR.size, String(manifest.files.reduce((sum, file) => sum + file.size, 0))],
      [XATTR.signature, signature],
      [XATTR.key, needs],
      [XATTR.error, problems.length === 0 ? undefined : problems.join('\n')],
    ]
    return new Map(texts.flatMap(([name, text]) => (text === undefined ? [] : [[name, Buffer.from(text)]])))
  }

  /** The archive a person means by that name, to be shown as the root of a mount; undefined: none. */
  async findChild(wanted: string): Promise<{ readonly name: string; readonly child: Child } | undefined> {
    const seen = await this.#look()
    const archives = archivesOf(seen.manifest)
    const archive = findArchive(archives, wanted)
    if (archive !== undefined) return { name: archive.name, child: this.#child(archive, archives, seen) }
    const child = (await this.load()).get(wanted)
    return child === undefined ? undefined : { name: wanted, child }
  }

  /**
   * Numbers the archives in the order of their names, before any is entered: a mount of this
   * snapshot then gives its files the same inode numbers each time.
   */
  async registerArchives(): Promise<void> {
    for (const archive of archivesOf((await this.#look()).manifest)) {
      if (!isTree(archive)) continue
      const path = this.childPath(archive.name)
      const identity = identityOf(path, versionOf(archive))
      this.#context.archives.register(identity, path, this.#context.registry.idFor(identity))
    }
  }

  /** Rejects with what stands against opening what is in it: its signature, or the lack of its key. */
  async requireTrust(): Promise<void> {
    const { refusal, missingKey } = await this.#context.opener.trust(this.#snapshot, await this.#look())
    const problem = refusal ?? missingKey
    if (problem !== undefined) throw problem
  }

  /** Bytes of everything in the snapshot, as its manifest counts them. */
  async totalBytes(): Promise<number> {
    return (await this.#look()).manifest.files.reduce((sum, file) => sum + file.size, 0)
  }

  #child(archive: Archive, all: readonly Archive[], seen: SnapshotManifest): Child {
    const version = versionOf(archive)
    const identity = identityOf(archive.name, version)
    if (isTree(archive)) {
      return {
        type: S_IFDIR,
        version,
        make: (id, parent, path) => this.#archiveRoot(id, parent, path, archive, all, seen, identityOf(path, version)),
      }
    }
    return { type: S_IFREG, version, make: (id, parent, path) => this.#guarded(this.#file(id, parent, path, archive, seen), identity) }
  }

  /** The node, valid as long as the snapshot shows that under its name. */
  #guarded<T extends VirtualNode>(node: T, identity: string): T {
    node.guard = this.#guard(identity)
    return node
  }

  #guard(identity: string): SnapshotGuard | undefined {
    return this.#inside === undefined ? undefined : new SnapshotGuard(this.#inside.hold, identity)
  }

  #archiveRoot(
    id: NodeId,
    parent: VirtualNode | undefined,
    path: string,
    archive: Archive,
    all: readonly Archive[],
    seen: SnapshotManifest,
    key: string,
  ): VirtualNode {
    const { opener, archives, owner } = this.#context
    const [meta, payload] = archive.files
    const identity = identityOf(archive.name, versionOf(archive))
    const catalog = archive.kind === 'pxar' ? all.find((other) => other.kind === 'catalog')?.files[0] : undefined
    const spec: ArchiveSpec = {
      key,
      name: path,
      guard: this.#guard(identity),
      openStreams: () => ({
        meta: opener.stream(this.#snapshot, meta!, seen),
        ...(payload === undefined ? {} : { payload: opener.stream(this.#snapshot, payload, seen) }),
      }),
      countLinks: linkPass(
        catalog === undefined ? undefined : opener.stream(this.#snapshot, catalog, seen),
        meta!.filename,
      ),
    }
    const opening = { mtimeSec: this.#time, open: () => archives.open(spec, id) }
    return this.#guarded(new ArchiveRoot(id, parent, path, owner, opening, { entryTtl: LIVE_TTL }), identity)
  }

  #file(id: NodeId, parent: VirtualNode | undefined, path: string, archive: Archive, seen: SnapshotManifest): VirtualNode {
    const { opener, owner } = this.#context
    const file = archive.files[0]!
    const missing = missingHalf(archive)
    if (isImage(archive)) return this.#image(id, parent, path, archive, seen)
    return new FileNode(id, parent, path, owner, {
      mtimeSec: this.#time,
      sizeHint: archive.size,
      ...(missing === undefined ? {} : { xattrs: new Map([[XATTR.error, Buffer.from(missing)]]) }),
      open: () =>
        archive.kind === 'blob'
          ? opener.openBlob(this.#snapshot, file.filename, seen, file)
          : opener.stream(this.#snapshot, file, seen),
    })
  }

  /** In the whole store, whatever part of it is shown. */
  #placeOf({ name }: Archive): string {
    const { group, time } = this.#snapshot
    return [...group.ns.flatMap((part) => ['ns', part]), group.type, group.id, time, name].join('/')
  }

  #image(id: NodeId, parent: VirtualNode | undefined, path: string, archive: Archive, seen: SnapshotManifest): VirtualNode {
    const { opener, owner, overlays } = this.#context
    const backup = opener.stream(this.#snapshot, archive.files[0]!, seen)
    const overlay = overlays?.over({ path: this.#placeOf(archive), identity: versionOf(archive) }, backup)
    return new FileNode(id, parent, path, owner, {
      mtimeSec: this.#time,
      sizeHint: archive.size,
      open: () => overlay?.stream() ?? backup,
      ...(overlay === undefined ? {} : { disk: overlay.disk }),
    })
  }

  /** The folder of what is inside an image. Volumes may span all images of the snapshot. */
  #parts(name: string, images: readonly Archive[], version: string, seen: SnapshotManifest): Child {
    const disks = (): Promise<DiskSet> => {
      if (this.#disks?.version !== version) {
        const all = images.map((image) => ({ name: image.name, stream: this.#context.opener.stream(this.#snapshot, image.files[0]!, seen) }))
        // Most mounts never look into an image: what can is loaded when somebody does.
        this.#disks = { version, set: import('../volumes/disk-set.js').then((module) => new module.DiskSet(all)) }
      }
      return this.#disks.set
    }
    const source = { mtimeSec: this.#time, version, volumes: async () => (await disks()).volumesOf(name) }
    const identity = identityOf(name + PARTS_SUFFIX, version)
    return {
      type: S_IFDIR,
      version,
      make: (id, parent, path) => this.#guarded(new PartsDir(id, parent, path, this.#context, source), identity),
    }
  }

  #changing(filename: string): Child {
    const load = async (): Promise<FileState> => {
      const seen = await this.#look()
      const [blob, files] = await Promise.all([
        this.#context.opener.openBlob(this.#snapshot, filename, seen),
        this.#context.datastore.listFiles(this.#snapshot, seen.manifest),
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

function isTree(archive: Archive): boolean {
  return archive.kind === 'pxar' || archive.kind === 'split-pxar'
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
