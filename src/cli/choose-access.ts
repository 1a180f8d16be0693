import { findActive } from '../access/access.js'
import { groupName, type AccessState, type GroupPlace } from '../access/access-state.js'
import { StateFiles } from '../access/state-files.js'
import { stateEnvironment, stateFolder } from '../access/state-folder.js'
import type { CommandContext } from './context.js'
import { describeError } from './describe-error.js'
import { argToBytes } from './raw-args.js'

/** What accesses are remembered by. */
export function openStateFiles({ stateDir }: { readonly stateDir: string | undefined }, { env }: CommandContext): StateFiles {
  return new StateFiles(stateFolder(stateDir === undefined ? undefined : argToBytes(stateDir).toString(), stateEnvironment(env)))
}

/** The one access of a target that is set up; damaged files are told, in case it is in one of them. */
export function chooseAccess(files: StateFiles, target: string, group: string | undefined, { output }: CommandContext): AccessState {
  const { states, problems } = files.list()
  for (const problem of problems) output.err(`pbsfs: ${describeError(problem)}\n`)
  return findActive(states, target, group)
}

/** SOURCE of a group. */
export function groupSource(place: GroupPlace): string {
  return `${place.store.replaceAll('::', ':\\x3a')}::${groupName(place)}`
}
