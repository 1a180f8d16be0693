import { dirname } from 'node:path'
import type { FileSteps, Lock } from '#src/access/durable-file.js'

/** Thrown in place of a step: the process has ended there. */
export class Ended extends Error {}

interface File {
  bytes: Buffer
  /** What a loss of power leaves of the content. */
  synced: Buffer
}

/** How much of what was not synced a loss of power takes. */
export type Loss = 'names' | 'contents' | 'all'

/** A file system in memory that forgets what was not synced, and ends its user before any step. */
export class MemorySteps implements FileSteps {
  /** Steps that changed something. */
  count = 0
  /** The step that is not done any more. */
  endBefore = Infinity
  #names = new Map<string, File | 'folder'>([['/', 'folder']])
  #syncedNames = new Map<string, File | 'folder'>([['/', 'folder']])
  readonly #open = new Map<number, File>()
  readonly #locks = new Set<string>()
  #nextFd = 3

  /** The process has ended, the machine has not. */
  goOn(): void {
    this.#locks.clear()
    this.#open.clear()
    this.count = 0
    this.endBefore = Infinity
  }

  /** The machine starts again without what was not synced. */
  restart(loss: Loss): void {
    if (loss === 'all' || loss === 'names') this.#names = new Map(this.#syncedNames)
    for (const file of this.#names.values()) {
      if (file === 'folder') continue
      // What was being written when the power went may be there in part.
      if (loss === 'all') file.bytes = Buffer.from(file.synced)
      if (loss === 'contents' && !file.bytes.equals(file.synced)) file.bytes = file.bytes.subarray(0, file.bytes.length >> 1)
      file.synced = Buffer.from(file.bytes)
    }
    this.#syncedNames = new Map(this.#names)
    this.goOn()
  }

  makeFolder(path: string): boolean {
    this.#step()
    if (this.#names.has(path)) return false
    if (this.#names.get(dirname(path)) !== 'folder') throw new Error(`no folder above ${path}`)
    this.#names.set(path, 'folder')
    return true
  }

  create(path: string): number {
    this.#step()
    if (this.#names.get(dirname(path)) !== 'folder') throw new Error(`no folder above ${path}`)
    const known = this.#names.get(path)
    const file = known !== undefined && known !== 'folder' ? known : { bytes: Buffer.alloc(0), synced: Buffer.alloc(0) }
    file.bytes = Buffer.alloc(0)
    this.#names.set(path, file)
    this.#open.set(this.#nextFd, file)
    return this.#nextFd++
  }

  write(fd: number, bytes: Uint8Array): void {
    const file = this.#open.get(fd)!
    file.bytes = Buffer.concat([file.bytes, bytes.subarray(0, bytes.length >> 1)])
    this.#step()
    file.bytes = Buffer.concat([file.bytes, bytes.subarray(bytes.length >> 1)])
  }

  sync(fd: number): void {
    this.#step()
    const file = this.#open.get(fd)!
    file.synced = Buffer.from(file.bytes)
  }

  close(fd: number): void {
    this.#open.delete(fd)
  }

  rename(from: string, to: string): void {
    this.#step()
    this.#names.set(to, this.#names.get(from)!)
    this.#names.delete(from)
  }

  syncFolder(path: string): void {
    this.#step()
    for (const name of this.#syncedNames.keys()) if (dirname(name) === path && name !== path) this.#syncedNames.delete(name)
    for (const [name, file] of this.#names) if (dirname(name) === path) this.#syncedNames.set(name, file)
  }

  read(path: string): Uint8Array | undefined {
    const file = this.#names.get(path)
    return file === undefined || file === 'folder' ? undefined : Buffer.from(file.bytes)
  }

  list(path: string): string[] {
    return [...this.#names.keys()].filter((name) => dirname(name) === path && name !== path).map((name) => name.slice(name.lastIndexOf('/') + 1))
  }

  lock(path: string): Lock | undefined {
    if (this.#locks.has(path)) return undefined
    this.#locks.add(path)
    return { release: () => void this.#locks.delete(path) }
  }

  #step(): void {
    if (this.count++ >= this.endBefore) throw new Ended(`step ${this.count}`)
  }
}
