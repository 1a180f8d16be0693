import type { OpenTree } from '../app/open-settings.js'
import { resolveFallbacks } from '../app/fallback-stores.js'
import { openTree } from '../app/open-tree.js'
import { ProblemLog } from '../app/problem-log.js'
import { isRegular, TreeView, type Found } from '../browse/tree-view.js'
import { escapeName, escapeText } from '../bytes/names.js'
import { lastNameOf } from '../bytes/paths.js'
import { DEFAULT_CACHE_BYTES, DEFAULT_DECODERS, MAX_DECODERS } from '../daemon/mount-config.js'
import { currentFolder, fromRoot } from '../daemon/mountpoint.js'
import { messageOf, type ErrorFields } from '../errors/errors.js'
import type { Log } from '../errors/log.js'
import { decodeSecrets } from '../keys/secrets.js'
import { resolveSource, type ResolvedSource } from '../source/resolve-source.js'
import { parseSource } from '../source/source-string.js'
import { cacheBytes, readSecrets } from './actions/mount.js'
import type { CommandContext } from './context.js'
import { EXIT, type ExitCode } from './exit-codes.js'
import { parseCount } from './parse-size.js'
import { argToBytes } from './raw-args.js'
import { storeSourceText } from './source-text.js'
import type { StoreArguments } from './store-options.js'
import { ToldOnce } from './told-once.js'

/** A source that a command looks into. */
export interface OpenSource {
  readonly opened: OpenTree
  readonly view: TreeView
  readonly source: ResolvedSource
  /** What went wrong on the way: `note` it, and the command ends with `exitCode`. */
  readonly problems: ProblemLog
  /** Says on stderr what is wrong, each thing once. */
  readonly note: (error: unknown, place?: Uint8Array) => void
  /** ok, or when something was noted damaged; key when keys alone are missing. */
  readonly exitCode: () => ExitCode
}

/** SOURCE of a command, found out but not opened. */
export async function findStoreSource(args: StoreArguments, { env }: CommandContext): Promise<ResolvedSource> {
  const cwd = currentFolder()
  const { payloadInput } = args
  return resolveSource(parseSource(storeSourceText(args.source, args, env)), {
    cwd,
    ...(payloadInput === undefined ? {} : { payloadInput: fromRoot(argToBytes(payloadInput), cwd) }),
  })
}

/**
 * Opens SOURCE, or what `widen` makes of it, lets `use` work with it and closes it, whatever happens. What is wrong goes
 * to stderr, or to `log`.
 */
export async function withSource<T>(
  args: StoreArguments,
  context: CommandContext,
  use: (source: OpenSource) => Promise<T>,
  widen: (source: ResolvedSource) => ResolvedSource = (source) => source,
  log?: Log,
): Promise<T> {
  const source = widen(await findStoreSource(args, context))
  const { output } = context
  const problems = new ProblemLog()
  const told = new ToldOnce((message, fields) => {
    const place = fields?.['place'] ?? fields?.['path']
    const where = typeof place === 'string' && !message.includes(place) ? `${place}: ` : ''
    output.err(`pbsfs: ${escapeText(where + message)}\n`)
  })
  const remark = (message: string, fields?: ErrorFields): void => told.remark(message, fields)
  const silent = (): void => undefined
  // The threads that load do not keep the process alive by themselves.
  const alive = setInterval(silent, 60_000)
  let opened: OpenTree | undefined
  try {
    const tree = await openTree(source, {
      cacheBytes: args.cacheSize === undefined ? DEFAULT_CACHE_BYTES : cacheBytes(args.cacheSize),
      decoders: args.decoders === undefined ? DEFAULT_DECODERS : parseCount(args.decoders, '--decoders', 1, MAX_DECODERS),
      secrets: decodeSecrets(await readSecrets({ ...args, options: [] }, context)),
      force: args.force,
      damaged: args.damage.damaged,
      fallbacks: await resolveFallbacks(args.damage.fallbacks.map(argToBytes), { cwd: currentFolder() }),
      locks: args.lock === undefined ? {} : { mode: args.lock },
      log: log ?? { debug: silent, info: silent, warn: remark, error: remark },
      problems,
      renderStatus: () => Promise.resolve(''),
    })
    opened = tree
    const result = await use({
      opened: tree,
      view: new TreeView(tree.tree),
      source,
      problems,
      note: (error, place) => {
        const shown = place === undefined || place.length === 0 ? {} : { path: escapeName(place) }
        if (problems.add(error, shown)) told.problem(messageOf(error), shown)
      },
      exitCode: () => (problems.areKeysAlone ? EXIT.key : problems.count > 0 ? EXIT.damaged : EXIT.ok),
    })
    told.end()
    return result
  } catch (error) {
    told.end(error)
    throw error
  } finally {
    clearInterval(alive)
    await opened?.close()
  }
}

/** What a path means to a command: below the root, or when the source is one file, that file. */
export async function findTarget({ view, source }: OpenSource, path: string | undefined): Promise<Found> {
  const root = await view.root()
  if (path !== undefined && path !== '') return view.resolve(argToBytes(path), root)
  const named = source.kind === 'store' ? (source.selector.inside !== undefined || source.selector.archive !== undefined) : source.inside !== undefined
  if (!named) return root
  const only = await onlyEntry(view, root)
  const last = lastName(source)
  return only !== undefined && last !== undefined && isSameName(only.name, last) && !isFolder(only) ? only : root
}

async function onlyEntry(view: TreeView, root: Found): Promise<Found | undefined> {
  let only: Found | undefined
  for await (const found of view.list(root)) {
    if (only !== undefined) return undefined
    only = found
  }
  return only
}

function isFolder(found: Found): boolean {
  return !isRegular(found) && (found.attr.mode & 0o170000) === 0o040000
}

function lastName(source: ResolvedSource): Buffer | undefined {
  const inside = source.kind === 'store' ? source.selector.inside : source.inside
  if (inside !== undefined) return lastNameOf(inside)
  return source.kind === 'store' && source.selector.archive !== undefined ? Buffer.from(source.selector.archive) : undefined
}

/** An archive may be named by its file in the store, too. */
function isSameName(shown: Buffer, given: Buffer): boolean {
  return shown.equals(given) || given.toString('latin1').replace(/\.(?:fidx|didx|blob)$/, '') === shown.toString('latin1')
}
