import { createHash } from 'node:crypto'
import { isPbsfsError, KeyError } from '../errors/errors.js'
import { mountCommand } from '../volumes/describe.js'
import type { DiskVolumes } from '../volumes/disk-set.js'
import type { Note, Volume } from '../volumes/volume.js'
import { BytesStream, FileNode } from './file-nodes.js'
import { LiveDir, type Child, type Children } from './live-dir.js'
import type { StoreContext } from './store-context.js'
import type { NodeId } from './tree.js'
import type { VirtualNode, Xattrs } from './virtual-node.js'
import { XATTR } from './xattr-names.js'

const S_IFREG = 0o100000

/** Longest text of an extended attribute that the kernel passes on is 64 KiB. */
const MAX_XATTR = 60_000

/** What a folder of volumes shows. */
export interface PartsSource {
  /** Seconds since the epoch. */
  readonly mtimeSec: number
  /** Differs when any image of the snapshot is another one. */
  readonly version: string
  /** Reads the disk when it was not read yet. */
  volumes(): Promise<DiskVolumes>
}

/**
 * The folder beside a disk image with its partitions and logical volumes as files. Nothing of
 * the image is read before somebody looks into the folder, or asks for its attributes.
 */
export class PartsDir extends LiveDir {
  readonly #context: StoreContext
  readonly #source: PartsSource
  /** What was told already; each result once. */
  #told: DiskVolumes | undefined

  constructor(id: NodeId, parent: VirtualNode | undefined, path: string, context: StoreContext, source: PartsSource) {
    super(id, parent, path, context.registry, context.owner)
    this.#context = context
    this.#source = source
  }

  protected async load(): Promise<Children> {
    const { volumes, notes } = await this.#look()
    const children = new Map<string, Child>()
    for (const volume of volumes) children.set(keyOfText(volume.name), this.#volume(volume))
    for (const note of notes) children.set(keyOfText(note.name), this.#note(note))
    return new Map([...children].sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  protected mtime(): number {
    return this.#source.mtimeSec
  }

  /** `user.pbs.error`: what is wrong with tables; asking for it reads the disk. */
  override async xattrs(): Promise<Xattrs> {
    try {
      const { problems } = await this.#look()
      if (problems.length === 0) return new Map()
      return new Map([[XATTR.error, clip(problems.map(({ message }) => message).join('\n'))]])
    } catch (error) {
      if (!isPbsfsError(error)) throw error
      return new Map([[error instanceof KeyError ? XATTR.key : XATTR.error, clip(error.message)]])
    }
  }

  async #look(): Promise<DiskVolumes> {
    const found = await this.#source.volumes()
    if (found === this.#told) return found
    this.#told = found
    for (const problem of found.problems) this.#context.report(problem, this.path)
    for (const { name, problem } of found.volumes) if (problem !== undefined) this.#context.report(problem, `${this.path}/${name}`)
    return found
  }

  #volume(volume: Volume): Child {
    const { stream } = volume
    return this.#file({ sizeHint: stream.size, xattrs: volumeXattrs(volume), open: () => stream }, this.#source.version)
  }

  #note({ name, text }: Note): Child {
    const bytes = Buffer.from(text)
    const stream = new BytesStream(name, bytes)
    return this.#file({ sizeHint: bytes.length, open: () => stream }, createHash('sha256').update(this.#source.version).update(bytes).digest('hex'))
  }

  #file(source: Pick<ConstructorParameters<typeof FileNode>[4], 'sizeHint' | 'xattrs' | 'open'>, version: string): Child {
    const { mtimeSec } = this.#source
    return {
      type: S_IFREG,
      version,
      make: (id, parent, path) => new FileNode(id, parent, path, this.#context.owner, { mtimeSec, ...source }),
    }
  }
}

function volumeXattrs({ name, fileSystem, problem }: Volume): Xattrs {
  const texts = new Map<string, Uint8Array>()
  if (fileSystem !== undefined) {
    texts.set(XATTR.fstype, Buffer.from(fileSystem.type))
    if (fileSystem.label !== undefined) texts.set(XATTR.label, fileSystem.label)
    if (fileSystem.uuid !== undefined) texts.set(XATTR.uuid, Buffer.from(fileSystem.uuid))
    const hints = [
      ...(fileSystem.hint === undefined ? [] : [fileSystem.hint]),
      ...(fileSystem.mountable && fileSystem.mountOptions !== undefined ? [mountCommand(name, fileSystem.mountOptions)] : []),
    ]
    if (hints.length > 0) texts.set(XATTR.hint, Buffer.from(hints.join('\n')))
  }
  if (problem !== undefined) texts.set(XATTR.error, clip(problem.message))
  return texts
}

function clip(text: string): Buffer {
  const bytes = Buffer.from(text)
  return bytes.length <= MAX_XATTR ? bytes : Buffer.concat([bytes.subarray(0, MAX_XATTR), Buffer.from('...')])
}

/** Names are text, UTF-8 in the kernel. */
function keyOfText(name: string): string {
  return Buffer.from(name).toString('latin1')
}
