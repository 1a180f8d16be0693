import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Bench } from '../measure/bench.js'
import { findProgram, runProgram } from '../measure/programs.js'
import { baseParts } from '../params.js'
import { PLACES } from '../writer/parts.js'
import type { OpenTree, Subject } from './subjects.js'

/** A program that can show the same tree as a mount of its own. */
interface Tool {
  readonly name: string
  readonly programs: readonly string[]
  /** Makes its own copy of `tree`; `made` does not exist before, its folder does. */
  readonly prepare: (tree: string, made: string) => Promise<unknown>
  /** Serves what was made at `path`, in the foreground. */
  readonly command: (made: string, path: string) => readonly string[]
  /** Copies all of what was made to `target`, which does not exist; absent: it has no such command. */
  readonly restore?: (made: string, target: string) => readonly string[]
  /** Where the tree is below the mount. */
  readonly root: (path: string, tree: string) => string
  readonly env?: Readonly<Record<string, string>>
  /** Takes back what `prepare` left elsewhere. */
  readonly finish?: () => Promise<unknown>
}

/** They are slow and not what is being judged. */
const FOREIGN_RUNS = 2

const RESTIC_ENV = { RESTIC_PASSWORD: 'bench' }

const TOOLS: readonly Tool[] = [
  {
    name: 'squashfuse_ll',
    programs: ['squashfuse_ll', 'mksquashfs'],
    prepare: (tree, made) => runProgram('mksquashfs', [tree, made, '-comp', 'zstd', '-Xcompression-level', '1', '-no-progress']),
    command: (made, path) => ['squashfuse_ll', '-f', made, path],
    root: (path) => path,
  },
  {
    name: 'restic',
    programs: ['restic'],
    prepare: async (tree, made) => {
      await runProgram('restic', ['init', '-r', made], { env: RESTIC_ENV })
      await runProgram('restic', ['backup', '-r', made, tree], { env: RESTIC_ENV })
    },
    command: (made, path) => ['restic', 'mount', '-r', made, path],
    root: (path, tree) => join(path, 'snapshots/latest', tree),
    env: RESTIC_ENV,
  },
  {
    name: 'pxar',
    programs: ['pxar'],
    prepare: (tree, made) => runProgram('pxar', ['create', made, tree]),
    command: (made, path) => ['pxar', 'mount', made, path, '--verbose'],
    restore: (made, target) => ['pxar', 'extract', made, target],
    root: (path) => path,
  },
]

/** Group that the vendor's client backs the tree up to. */
const GROUP = 'host/pbsfs-bench'

/** The vendor's client with a server that was named for this. */
function clientTool(repository: string): Tool {
  const client = (...args: string[]) => runProgram('proxmox-backup-client', [...args, '--repository', repository])
  return {
    name: 'proxmox-backup-client',
    programs: ['proxmox-backup-client'],
    prepare: (tree) => client('backup', `root.pxar:${tree}`, '--backup-id', 'pbsfs-bench', '--change-detection-mode', 'data'),
    command: (_made, path) => ['proxmox-backup-client', 'mount', GROUP, 'root.pxar', path, '--repository', repository, '--verbose'],
    restore: (_made, target) => ['proxmox-backup-client', 'restore', GROUP, 'root.pxar', target, '--repository', repository],
    root: (path) => path,
    finish: () => client('group', 'forget', GROUP),
  }
}

/** A program that can copy the same tree out of an archive of its own. */
export interface ForeignRestore {
  readonly name: string
  /** Makes that archive first when it is not there. */
  readonly command: (target: string) => Promise<readonly string[]>
}

/** What the tools that are on the PATH can do with the same tree; `finish` takes back what they left elsewhere. */
export interface Foreign {
  readonly subjects: Subject[]
  readonly restores: ForeignRestore[]
  readonly finish: () => Promise<void>
}

export function findForeign(bench: Bench, repository: string | undefined): Foreign {
  const tools = repository === undefined ? TOOLS : [...TOOLS, clientTool(repository)]
  const usable = tools.filter((tool) => tool.programs.every((program) => findProgram(program) !== undefined))
  const prepared = new Map<Tool, Promise<string>>()
  const prepare = (tool: Tool): Promise<string> => {
    const before = prepared.get(tool)
    if (before !== undefined) return before
    const now = makeOnce(bench, tool)
    prepared.set(tool, now)
    return now
  }
  return {
    subjects: usable.map((tool) => subjectOf(bench, tool, prepare)),
    restores: usable.flatMap(({ name, restore }, i) => (restore === undefined ? [] : [{ name, command: async (target: string) => restore(await prepare(usable[i]!), target) }])),
    finish: async () => {
      for (const tool of prepared.keys()) await tool.finish?.()
    },
  }
}

/** Where a tool's own copy of the tree is, once it is there. */
async function makeOnce(bench: Bench, tool: Tool): Promise<string> {
  const made = join(bench.folder, 'foreign', tool.name)
  mkdirSync(dirname(made), { recursive: true })
  if (existsSync(made)) return made
  try {
    await tool.prepare(PLACES.plain(bench.folder, 'plain'), made)
  } catch (error) {
    rmSync(made, { recursive: true, force: true })
    throw error
  }
  return made
}

function subjectOf(bench: Bench, tool: Tool, prepare: (tool: Tool) => Promise<string>): Subject {
  return {
    name: tool.name,
    parts: [baseParts(bench.params).plain],
    isMount: true,
    mostRuns: FOREIGN_RUNS,
    open: async (): Promise<OpenTree> => {
      const made = await prepare(tool)
      const mount = await bench.mounts.foreign(tool.name, (path) => tool.command(made, path), tool.env ?? {})
      return { root: tool.root(mount.path, PLACES.plain(bench.folder, 'plain')), end: () => mount.end() }
    },
  }
}
