import type { ErrorFields } from '../errors/errors.js'
import type { Log } from '../errors/log.js'
import type { NodeId, Tree } from '../tree/tree.js'
import type { ProblemLog } from './problem-log.js'

/** A log line waits no longer for the path of its file. */
const PLACE_TIMEOUT_MS = 2000

/**
 * Notes that something of a node could not be read: among the problems at once, in the log with
 * the archive and the path in it. What was noted before is only counted.
 */
export function reportDamage(
  { log, problems }: { readonly log: Pick<Log, 'warn'>; readonly problems: ProblemLog },
  tree: Pick<Tree, 'placeOf'>,
  node: NodeId,
  message: string,
  fields: ErrorFields,
): void {
  const error = new Error(message)
  if (!problems.add(error, fields)) return
  const timeout = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), PLACE_TIMEOUT_MS).unref())
  const found = Promise.race([tree.placeOf?.(node), timeout])
  problems.track(
    found.then((place) => {
      const named = place === undefined ? {} : { ...place }
      problems.amend(error, fields, named)
      log.warn(message, { ...named, ...fields })
    }),
  )
}
