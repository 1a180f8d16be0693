import { note, ok, problem, type Finding } from './finding.js'

/** What this user has set, holds and has left behind. Texts are safe to print. */
export interface UserFacts {
  /** Variables PBSFS_* that mean nothing, with the one that is nearest. */
  readonly unknownVariables: readonly { readonly name: string; readonly nearest: string | undefined }[]
  /** Variables that stand for options. */
  readonly setVariables: readonly string[]
  readonly keys: readonly KeyFacts[]
  readonly mounts: readonly { readonly mountpoint: string; readonly state: string; readonly leaveWith: string }[]
}

export interface KeyFacts {
  readonly path: string
  /** Why it cannot be used; undefined: it is what follows. */
  readonly failure: string | undefined
  readonly kind: string | undefined
  readonly protection: string | undefined
  readonly fingerprint: string | undefined
  /** Others than the owner may read it. */
  readonly isOpen: boolean
  /** The line that closes it. */
  readonly closeWith: string
}

export function checkUser({ unknownVariables, setVariables, keys, mounts }: UserFacts): Finding[] {
  return [...checkVariables(unknownVariables, setVariables), ...checkKeys(keys), ...checkMounts(mounts)]
}

function checkVariables(unknown: UserFacts['unknownVariables'], set: readonly string[]): Finding[] {
  const findings = unknown.map(({ name, nearest }) => {
    return note('variables', `${name} is set and means nothing`, nearest === undefined ? 'docs/cli.md lists the variables.' : `Was ${nearest} meant?`)
  })
  if (set.length > 0) return [...findings, ok('variables', `options are set by ${set.join(', ')}`)]
  return findings.length > 0 ? findings : [ok('variables', 'no option is set by the environment')]
}

function checkKeys(keys: readonly KeyFacts[]): Finding[] {
  if (keys.length === 0) return [ok('keys', 'no key where the default ones lie; encrypted backups need --keyfile')]
  return keys.map(({ path, failure, kind, protection, fingerprint, isOpen, closeWith }) => {
    if (failure !== undefined) return problem('keys', failure.includes(path) ? failure : `${path}: ${failure}`, 'Give another one with --keyfile.')
    const locked = protection === undefined || protection === 'none' ? '' : `, protected (${protection})`
    const text = `${path}: ${kind ?? 'key'}${locked}${fingerprint === undefined ? '' : `, fingerprint ${fingerprint}`}`
    return isOpen ? note('keys', `${text}; others may read it`, closeWith) : ok('keys', text)
  })
}

function checkMounts(mounts: UserFacts['mounts']): Finding[] {
  const findings: Finding[] = []
  for (const { mountpoint, state, leaveWith } of mounts) {
    if (state === 'dead') findings.push(problem('mounts', `${mountpoint}: its daemon is gone`, `Remove it: ${leaveWith}`))
    if (state === 'silent') findings.push(note('mounts', `${mountpoint}: its daemon lives and does not answer`, `Its log says why (pbsfs status); to end it: ${leaveWith}`))
  }
  if (findings.length > 0) return findings
  const running = mounts.filter(({ state }) => state === 'running').length
  return [ok('mounts', running === 0 ? 'nothing is mounted, nothing was left behind' : `${running} running, nothing was left behind`)]
}
