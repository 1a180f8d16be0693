import { note, ok, problem, type Finding } from './finding.js'

/** What a datastore looks like from here. Texts are safe to print. */
export interface StoreFacts {
  readonly path: string
  readonly snapshots: number
  /** Manifests that cannot be read, each with the reason. */
  readonly unreadable: readonly string[]
  /** Remarks of the store itself: an S3 cache, a folder that may not be read. */
  readonly remarks: readonly string[]
  /** How this host has it configured. */
  readonly configuredAs: string | undefined
  /** There is a configuration, but it cannot be read. */
  readonly configProblem: string | undefined
  readonly maintenance: string | undefined
  /** What came of locking the newest snapshot; undefined: nothing is locked, no server has it. */
  readonly lock: LockFacts | undefined
  /** Keys that snapshots name, with their number; `isHere`: one of the keys that were found. */
  readonly keys: readonly { readonly fingerprint: string; readonly snapshots: number; readonly isHere: boolean }[]
}

export type LockFacts = { readonly snapshot: string; readonly problems: readonly string[] } | { readonly busy: string }

export function checkStore(facts: StoreFacts): Finding[] {
  return [...checkContents(facts), ...checkStoreKeys(facts), checkLocks(facts)]
}

function checkContents({ path, snapshots, unreadable, remarks, maintenance }: StoreFacts): Finding[] {
  const findings: Finding[] = [ok('source', `${path} is a datastore`)]
  if (maintenance !== undefined) findings.push(problem('source', maintenance, 'End the maintenance in the server first; --force looks at it all the same.'))
  for (const remark of remarks) findings.push(note('source', remark, 'What is not here cannot be read.'))
  if (snapshots === 0) findings.push(note('snapshots', 'there is no finished snapshot in it', 'Is it the right store, the right namespace?'))
  for (const text of unreadable) findings.push(problem('snapshots', text, 'On a backup server be root or in the group backup; pbsfs check tells what is damaged.'))
  if (snapshots > 0 && unreadable.length === 0) findings.push(ok('snapshots', `${snapshots} snapshots, every manifest can be read`))
  return findings
}

function checkStoreKeys({ keys }: StoreFacts): Finding[] {
  return keys.map(({ fingerprint, snapshots, isHere }) => {
    const text = `${snapshots === 1 ? '1 snapshot needs' : `${snapshots} snapshots need`} the key ${fingerprint}`
    return isHere ? ok('keys', `${text}, which is here`) : note('keys', `${text}, which is not among those found`, 'Give it with --keyfile, or the master key with --master-keyfile.')
  })
}

function checkLocks({ configuredAs, configProblem, lock }: StoreFacts): Finding {
  if (lock === undefined) return ok('locks', 'no server on this host has the store; nothing has to be locked (another host that uses it is not kept out)')
  const name = configuredAs === undefined ? 'a server on this host may have the store' : `the server on this host has it as ${configuredAs}`
  if ('busy' in lock) return note('locks', `${name}; ${lock.busy}`, 'Try again when its task is done.')
  if (lock.problems.length === 0) return ok('locks', `${name}; snapshots can be locked against removal`)
  const reasons = [...(configProblem === undefined ? [] : [configProblem]), ...lock.problems].join('; ')
  return note('locks', `${name}; ${lock.snapshot} cannot be locked: ${reasons}`, 'Be root or in the group backup, and start the server once after a boot; until then do not prune while you restore.')
}
