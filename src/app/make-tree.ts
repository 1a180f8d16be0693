import { escapeName } from '../bytes/names.js'
import type { LostRange } from '../bytes/read-at.js'
import { messageOf, PbsfsError, replaceFields } from '../errors/errors.js'
import type { ProblemReport } from '../tree/archive-dirs.js'
import { ArchiveSet } from '../tree/archive-set.js'
import { CONTROL_DIR, ControlDir } from '../tree/control-dir.js'
import { MountTree } from '../tree/mount-tree.js'
import type { StoreContext } from '../tree/store-context.js'
import type { NodeId, Tree } from '../tree/tree.js'
import type { Owner, VirtualNode } from '../tree/virtual-node.js'
import type { OpenSettings } from './open-settings.js'
import { reportDamage } from './report-damage.js'

/** The tree below `root`, with the control folder of the mount. */
export function makeTree(
  root: VirtualNode,
  context: Pick<StoreContext, 'registry' | 'archives' | 'owner' | 'holds'>,
  settings: OpenSettings,
  totalBytes: number,
): Tree {
  context.registry.add(root)
  const files = { status: settings.renderStatus, errors: () => settings.problems.render() }
  const control = context.registry.intern(
    CONTROL_DIR,
    (id) => new ControlDir(id, root, context.registry, context.owner, files),
  )
  const tracksOpen = context.holds?.lasting === false
  const onLoss = (node: NodeId, { offset, length, error }: LostRange): void => {
    const loss = replaceFields(error, { fileOffset: offset, length, zeroed: true })
    reportDamage(settings, tree, node, messageOf(loss), loss instanceof PbsfsError ? loss.fields : {})
  }
  const tree: Tree = new MountTree(
    root,
    control,
    context.registry,
    context.archives,
    () => ({ totalBytes, files: 0 }),
    tracksOpen,
    settings.damaged === 'zero' ? onLoss : undefined,
    settings.overlays !== undefined,
  )
  return tree
}

/** Archives whose problems go to log and errors. `directoryBytes`: for their decoded directories. */
export function archiveSet(settings: OpenSettings, directoryBytes?: number): ArchiveSet {
  const report: ProblemReport = (error, archive, name, folder) => {
    const shown = name === undefined ? {} : { name: escapeName(name) }
    const context = { archive, ...(folder === undefined ? {} : { folder }), ...shown }
    if (settings.problems.add(error, context)) {
      settings.log.warn(messageOf(error), context)
    }
  }
  return new ArchiveSet(report, { directoryBytes })
}

/** Who owns what the store itself does not say an owner of. */
export function processOwner(): Owner {
  return { uid: process.getuid!(), gid: process.getgid!() }
}
