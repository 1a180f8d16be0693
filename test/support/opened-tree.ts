import { createSecretKey, type KeyObject } from 'node:crypto'
import type { OpenTree } from '#src/app/open-settings.js'
import type { LockReport, LockSettings } from '#src/app/snapshot-locking.js'
import { openTree } from '#src/app/open-tree.js'
import { ProblemLog } from '#src/app/problem-log.js'
import { NodeError, type ErrorFields } from '#src/errors/errors.js'
import { resolveSource } from '#src/source/resolve-source.js'
import { parseSource } from '#src/source/source-string.js'
import { ROOT, type Entry, type Tree } from '#src/tree/tree.js'
import type { TestKey } from './datastore-writer.js'

export interface TreeSettings {
  keys?: readonly TestKey[]
  masterKeys?: readonly KeyObject[]
  force?: boolean
  damaged?: 'zero'
  fallbacks?: readonly string[]
  locks?: LockSettings
  /** Of the server of this host. */
  configDir?: string
}

/** A SOURCE opened as a tree in this process, with real decode threads and no mount. */
export class OpenedTree {
  readonly problems: ProblemLog
  /** `level message`, as logged. */
  readonly log: string[]
  readonly #opened: OpenTree

  private constructor(opened: OpenTree, problems: ProblemLog, log: string[]) {
    this.#opened = opened
    this.problems = problems
    this.log = log
  }

  static async open(source: string, settings: TreeSettings = {}): Promise<OpenedTree> {
    const problems = new ProblemLog()
    const lines: string[] = []
    const at = (level: string) => (message: string, _fields?: ErrorFields) => void lines.push(`${level} ${message}`)
    const resolved = await resolveSource(parseSource(Buffer.from(source)), {
      cwd: Buffer.from('/'),
      ...(settings.configDir === undefined ? {} : { configDir: settings.configDir }),
    })
    const opened = await openTree(resolved, {
      cacheBytes: 64 << 20,
      decoders: 1,
      log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
      problems,
      renderStatus: () => Promise.resolve(''),
      secrets: {
        keys: (settings.keys ?? []).map(({ encKey }) => createSecretKey(encKey)),
        masterKeys: settings.masterKeys ?? [],
      },
      force: settings.force ?? false,
      damaged: settings.damaged,
      fallbacks: settings.fallbacks,
      locks: settings.locks,
    })
    return new OpenedTree(opened, problems, lines)
  }

  async entry(path: string): Promise<Entry> {
    let entry: Entry = { idHi: ROOT.hi, idLo: ROOT.lo, attr: await this.#opened.tree.getattr(ROOT), entryTtl: 0 }
    for (const name of path.split('/').filter((part) => part !== '')) {
      const found = await this.#opened.tree.lookup({ hi: entry.idHi, lo: entry.idLo }, Buffer.from(name))
      if (found === undefined) throw new NodeError('ENOENT', `${path}: no ${name}`)
      this.#opened.tree.remember(found.idHi, found.idLo, 1)
      entry = found
    }
    return entry
  }

  async names(path: string): Promise<string[]> {
    const { idHi, idLo } = await this.entry(path)
    const names: string[] = []
    const add = (name: Uint8Array, start: number, end: number) => names.push(Buffer.from(name.subarray(start, end)).toString()) > 0
    await this.#opened.tree.list({ hi: idHi, lo: idLo }, 0, { add })
    return names.filter((name) => name !== '.' && name !== '..')
  }

  async read(path: string): Promise<Buffer> {
    const { idHi, idLo } = await this.entry(path)
    const { stream, start, size } = await this.#opened.tree.content({ hi: idHi, lo: idLo })
    return Buffer.from(await stream.read(start, size))
  }

  async xattr(path: string, name: string): Promise<string | undefined> {
    const { idHi, idLo } = await this.entry(path)
    const value = await this.#opened.tree.getxattr({ hi: idHi, lo: idLo }, Buffer.from(name))
    return value === undefined ? undefined : Buffer.from(value).toString()
  }

  /** What `open` of the tree gives; throws when the tree does not want to know. */
  async openFile(path: string): Promise<number> {
    const { idHi, idLo } = await this.entry(path)
    return this.#opened.tree.open!({ hi: idHi, lo: idLo })
  }

  releaseFile(handle: number): void {
    this.#opened.tree.release!(handle)
  }

  get tree(): Tree {
    return this.#opened.tree
  }

  locks(): LockReport | undefined {
    return this.#opened.locks()
  }

  close(): Promise<void> {
    return this.#opened.close()
  }
}
