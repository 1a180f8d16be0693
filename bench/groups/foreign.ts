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
    root: (path) => path,
    finish: () => client('group', 'forget', GROUP),
  }
}

/** Tools that are on the PATH, as ways to the same tree; `finish` takes back what they left elsewhere. */
export function foreignSubjects(bench: Bench, repository: string | undefined): { subjects: Subject[]; finish: () => Promise<void> } {
  const tools = repository === undefined ? TOOLS : [...TOOLS, clientTool(repository)]
  const usable = tools.filter((tool) => tool.programs.every((program) => findProgram(program) !== undefined))
  const prepared = new Map<Tool, Promise<unknown>>()
  const subjects = usable.map((tool) => subjectOf(bench, tool, prepared))
  return {
    subjects,
    finish: async () => {
      for (const tool of prepared.keys()) await tool.finish?.()
    },
  }
}

function subjectOf(bench: Bench, tool: Tool, prepared: Map<Tool, Promise<unknown>>): Subject {
  const tree = PLACES.plain(bench.folder, 'plain')
  const made = join(bench.folder, 'foreign', tool.name)
  const prepareOnce = (): Promise<unknown> => {
    const before = prepared.get(tool)
    if (before !== undefined) return before
    mkdirSync(dirname(made), { recursive: true })
    const now = existsSync(made) ? Promise.resolve() : tool.prepare(tree, made)
    prepared.set(tool, now)
    now.catch(() => rmSync(made, { recursive: true, force: true }))
    return now
  }
  return {
    name: tool.name,
    parts: [baseParts(bench.params).plain],
    isMount: true,
    mostRuns: FOREIGN_RUNS,
    open: async (): Promise<OpenTree> => {
      await prepareOnce()
      const mount = await bench.mounts.foreign(tool.name, (path) => tool.command(made, path), tool.env ?? {})
      return { root: tool.root(mount.path, tree), end: () => mount.end() }
    },
  }
}
