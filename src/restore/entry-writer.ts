import { isAboveArchives, isRegular, isSymlink, type Found, type TreeView } from '../browse/tree-view.js'
import { escapeName, keyOf } from '../bytes/names.js'
import { IntegrityError } from '../errors/errors.js'
import { CREATE_FILE, ENOENT, files, OPEN_HANDLE } from '../posix/files.js'
import type { Content } from '../tree/tree.js'
import type { Attributes, Metadata } from './metadata.js'
import type { RestoreOptions, RestoreProgress, RestoreSummary } from './restore-options.js'
import { targetError } from './target-error.js'
import { temporaryName } from './temporary-name.js'
import { copyContent, writeBytes } from './write-content.js'

/** Files up to this size are written at once. */
const SMALL = 1024 * 1024

/** Attributes that pbsfs itself shows on what is no entry of an archive. */
const OWN_ATTRIBUTES = 'user.pbs.'

const S_IFMT = 0o170000
const PRIVATE = 0o600

export interface EntryWriterParts {
  readonly view: TreeView
  readonly options: RestoreOptions
  readonly metadata: Metadata
  readonly summary: RestoreSummary
  readonly progress: RestoreProgress
}

/**
 * Makes single entries in open folders: under a temporary name until contents and metadata are complete, then
 * under their own, in place of what was there.
 */
export class EntryWriter {
  readonly #parts: EntryWriterParts
  readonly #temporary = temporaryName()

  constructor(parts: EntryWriterParts) {
    this.#parts = parts
  }

  /** Anything but a folder; `path` for messages. Rejects with what kept it from being made, and nothing is left of it then. */
  async write(found: Found, dir: number, path: Buffer): Promise<void> {
    if (isRegular(found)) await this.#file(found, dir, path)
    else if (isSymlink(found)) await this.#symlink(found, dir, path)
    else if (!(await this.#special(found, dir, path))) return
    countEntry(this.#parts.summary, found)
  }

  /** Another name, `to` in `dir`, for the file `name` in `from`. False: this file system has no links, or not so many. */
  link(from: number, name: Buffer, dir: number, to: Buffer): boolean {
    const linked = files().linkat(from, name, dir, this.#temporary)
    if (linked < 0) {
      // The first name may have failed itself; it is no loss then to have the contents here.
      if (linked !== -ENOENT) this.#parts.metadata.count('hard-link')
      return false
    }
    const renamed = files().renameat(dir, this.#temporary, to)
    // Two names of one file are not renamed: the kernel leaves both.
    files().unlinkat(dir, this.#temporary)
    if (renamed >= 0) this.#parts.summary.hardLinks++
    return renamed >= 0
  }

  /** Extended attributes as the backup has them, without those that pbsfs shows. */
  async attributesOf(found: Found): Promise<Attributes> {
    if (this.#parts.view.isPlain) return []
    const all = await this.#parts.view.xattrs(found)
    return isAboveArchives(found) ? all.filter(([name]) => !keyOf(name).startsWith(OWN_ATTRIBUTES)) : all
  }

  async #file(found: Found, dir: number, path: Buffer): Promise<void> {
    const attributes = await this.attributesOf(found)
    const content = await this.#parts.view.content(found)
    const { size } = content
    this.#parts.progress.streamSize = content.stream.size
    this.#parts.progress.position = content.start
    if (size > SMALL) return this.#largeFile(found, content, attributes, dir, path)
    // A view would be gone after the next wait: from here on there is none.
    const bytes = size === 0 ? Buffer.alloc(0) : (this.#peek(content) ?? (await content.stream.read(content.start, size)))
    const shown = escapeName(path)
    const fd = this.#create(dir, shown)
    this.#complete(fd, dir, found.name, shown, () => {
      writeBytes(fd, bytes, shown)
      this.#parts.metadata.applyTo(fd, found.attr, attributes)
    })
    this.#parts.progress.bytes += size
    this.#tellLost(content, path)
  }

  /** A file with zeros where the backup is damaged is restored as wanted, and named. */
  #tellLost({ stream }: Content, path: Buffer): void {
    const lost = stream.lostBytes ?? 0
    if (lost === 0) return
    const shown = escapeName(path)
    this.#parts.options.onProblem(new IntegrityError(`${shown}: ${lost} bytes are lost, zeros are in their place`, { path: shown }), path)
  }

  #peek({ stream, start, size }: Content): Uint8Array | undefined {
    const bytes = stream.peek(start, size)
    if (bytes !== undefined) stream.noteRead?.(start, size)
    return bytes
  }

  async #largeFile(found: Found, content: Content, attributes: Attributes, dir: number, path: Buffer): Promise<void> {
    const shown = escapeName(path)
    const fd = this.#create(dir, shown)
    const { signal, onProgress } = this.#parts.options
    try {
      await copyContent(fd, content, {
        signal,
        path: shown,
        onBytes: (count) => {
          this.#parts.progress.bytes += count
          this.#parts.progress.position += count
          onProgress?.(this.#parts.progress)
        },
      })
    } catch (error) {
      files().close(fd)
      files().unlinkat(dir, this.#temporary)
      throw error
    }
    this.#complete(fd, dir, found.name, shown, () => this.#parts.metadata.applyTo(fd, found.attr, attributes))
    this.#tellLost(content, path)
  }

  #create(dir: number, shown: string): number {
    const fd = files().openat(dir, this.#temporary, CREATE_FILE, PRIVATE)
    if (fd < 0) throw targetError('make the file', shown, fd)
    return fd
  }

  /** Does the rest of a file and gives it its name; without a name it is removed. */
  #complete(fd: number, dir: number, name: Buffer, shown: string, rest: () => void): void {
    const call = files()
    let isOpen = true
    try {
      rest()
      isOpen = false
      const closed = call.close(fd)
      if (closed < 0) throw targetError('write', shown, closed)
      const renamed = call.renameat(dir, this.#temporary, name)
      if (renamed < 0) throw targetError('name the file', shown, renamed)
    } catch (error) {
      if (isOpen) call.close(fd)
      call.unlinkat(dir, this.#temporary)
      throw error
    }
  }

  async #symlink(found: Found, dir: number, path: Buffer): Promise<void> {
    const target = await this.#parts.view.readlink(found)
    this.#place(files().symlinkat(target, dir, this.#temporary), 'make the symbolic link', dir, found.name, path, () =>
      this.#parts.metadata.applyToLink(dir, this.#temporary, found.attr),
    )
  }

  /** False: an ordinary user may not make it, which is counted. */
  async #special(found: Found, dir: number, path: Buffer): Promise<boolean> {
    const { attr } = found
    const attributes = await this.attributesOf(found)
    const made = files().mknodat(dir, this.#temporary, (attr.mode & S_IFMT) | PRIVATE, attr.major, attr.minor)
    const isDevice = (attr.mode & S_IFMT) === 0o020000 || (attr.mode & S_IFMT) === 0o060000
    if (made < 0 && isDevice && process.geteuid?.() !== 0) {
      this.#parts.metadata.count('device')
      return false
    }
    this.#place(made, 'make the device or pipe', dir, found.name, path, () => {
      const handle = files().openat(dir, this.#temporary, OPEN_HANDLE, 0)
      if (handle < 0) throw targetError('open', escapeName(path), handle)
      try {
        this.#parts.metadata.applyToHandle(handle, dir, this.#temporary, attr, attributes)
      } finally {
        files().close(handle)
      }
    })
    return true
  }

  /** Finishes what was made under the temporary name. */
  #place(made: number, operation: string, dir: number, name: Buffer, path: Buffer, finish: () => void): void {
    const shown = escapeName(path)
    if (made < 0) throw targetError(operation, shown, made)
    try {
      finish()
      const renamed = files().renameat(dir, this.#temporary, name)
      if (renamed < 0) throw targetError(operation, shown, renamed)
    } catch (error) {
      files().unlinkat(dir, this.#temporary)
      throw error
    }
  }
}

export function countEntry(summary: RestoreSummary, found: Found): void {
  if (isRegular(found)) {
    summary.files++
    summary.bytes += found.attr.size
  } else if (isSymlink(found)) summary.symlinks++
  else summary.specials++
}
