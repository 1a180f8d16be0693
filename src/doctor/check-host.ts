import { note, ok, problem, type Finding } from './finding.js'

/** What pbsfs runs on. Sizes in bytes. */
export interface HostFacts {
  /** `process.versions.node`, and what the package asks for. */
  readonly node: string
  readonly oldestNode: string
  /** Packages with native code: why one does not load, or undefined. */
  readonly packages: readonly { readonly name: string; readonly failure: string | undefined }[]
  /** Why the second driver cannot be used; undefined: it can. */
  readonly fuseNative: string | undefined
  readonly availableMemory: number
  /** Of the control group; undefined: none. */
  readonly memoryLimit: number | undefined
  /** What the chunks of a mount take when nothing else is said. */
  readonly cacheBytes: number
  readonly isRoot: boolean
  /** Is there a group `backup`, which may read datastores, and is this user in it? */
  readonly backupGroup: 'member' | 'not a member' | 'none'
}

/** A mount needs this much besides its cache: threads, indices, directories. */
const BASE_MEMORY = 200 * 2 ** 20

export function checkHost(facts: HostFacts): Finding[] {
  return [checkNode(facts), ...checkPackages(facts), checkMemory(facts), checkGroup(facts)]
}

function checkNode({ node, oldestNode }: HostFacts): Finding {
  if (!isOlder(node, oldestNode)) return ok('node', `Node.js ${node}`)
  return problem('node', `Node.js ${node} is too old`, `Install ${oldestNode} or newer.`)
}

function checkPackages({ packages, fuseNative }: HostFacts): Finding[] {
  const broken = packages.filter(({ failure }) => failure !== undefined)
  const remedy = 'Install pbsfs on this machine (npm ci), so that the builds for its processor and C library are there.'
  const findings = broken.map(({ name, failure }) => problem('packages', `${name} does not load: ${failure!}`, remedy))
  if (broken.length === 0) findings.push(ok('packages', `native packages load: ${packages.map(({ name }) => name).join(', ')}`))
  const driver = 'the second driver (--driver fuse-native)'
  return [...findings, fuseNative === undefined ? ok('fuse-native', `${driver} can be used`) : note('fuse-native', `${driver} cannot be used: ${fuseNative}`, 'Only needed for that option.')]
}

function checkMemory({ availableMemory, memoryLimit, cacheBytes }: HostFacts): Finding {
  const usable = Math.min(availableMemory, memoryLimit ?? Infinity)
  const what = `${inMiB(availableMemory)} available${memoryLimit === undefined ? '' : `, limited to ${inMiB(memoryLimit)}`}`
  if (usable >= cacheBytes + BASE_MEMORY) return ok('memory', `${what}; a mount takes about ${inMiB(cacheBytes + BASE_MEMORY)} when it is in use`)
  return problem('memory', `${what}: too little for a mount, which takes about ${inMiB(cacheBytes + BASE_MEMORY)}`, 'Give each mount a smaller cache: --cache-size 64M')
}

function checkGroup({ isRoot, backupGroup }: HostFacts): Finding {
  if (isRoot) return ok('group', 'root may read every datastore')
  if (backupGroup === 'member') return ok('group', 'this user is in the group backup, which may read the datastores of a backup server')
  const text = backupGroup === 'none' ? 'there is no group backup here' : 'this user is not in the group backup'
  return note('group', `${text}: stores of a backup server can be read by their owner only`, 'For such a store: run pbsfs as root, or as root usermod -aG backup USER, and log in again.')
}

function isOlder(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split('.').map(Number))
  for (let i = 0; i < b!.length; i++) if ((a![i] ?? 0) !== b![i]) return (a![i] ?? 0) < b![i]!
  return false
}

function inMiB(bytes: number): string {
  return `${Math.floor(bytes / 2 ** 20)} MiB`
}
