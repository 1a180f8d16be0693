import { escapeName } from '../../bytes/names.js'
import { findMounts } from '../../daemon/find-mounts.js'
import { listMaps, mapPlaces } from '../../daemon/image-maps.js'
import { kernelMountTable } from '../../daemon/kernel-mount-table.js'
import { findMount } from '../../daemon/mount-table.js'
import { currentFolder, resolveMountpoint } from '../../daemon/mountpoint.js'
import { findRuntimeFolder } from '../../daemon/runtime-folder.js'
import { STATUS_VERSION, type MountStatus, type StatusDocument } from '../../daemon/status.js'
import { UsageError } from '../../errors/errors.js'
import { paintHead } from '../colors.js'
import type { CommandContext } from '../context.js'
import { EXIT } from '../exit-codes.js'
import { formatMapTable, formatStatusDetail, formatStatusTable } from '../format-status.js'
import { argToBytes } from '../raw-args.js'

export interface StatusArguments {
  readonly mountpoint: string | undefined
  readonly json: boolean
}

/** `pbsfs status`: asks the daemons, touches no mount. */
export async function status(args: StatusArguments, { output }: CommandContext): Promise<number> {
  const runtime = findRuntimeFolder()
  const maps = args.mountpoint === undefined ? await listMaps(runtime, kernelMountTable) : []
  const hidden = args.mountpoint === undefined ? mapPlaces(runtime) : new Set<string>()
  const all = (await findMounts(kernelMountTable)).filter(({ mountpoint }) => !hidden.has(mountpoint))
  const mounts = args.mountpoint === undefined ? all : selectMount(all, args.mountpoint)
  if (args.json) {
    const document: StatusDocument = { version: STATUS_VERSION, mounts, maps }
    output.out(JSON.stringify(document, null, 2) + '\n')
  } else if (args.mountpoint !== undefined) {
    output.out(mounts.map(formatStatusDetail).join('\n'))
  } else {
    output.out(mounts.length === 0 && maps.length === 0 ? 'nothing is mounted\n' : mounts.length === 0 ? '' : paintHead(formatStatusTable(mounts), output.colors))
    if (maps.length > 0) output.out(`${mounts.length === 0 ? '' : '\n'}${paintHead(formatMapTable(maps), output.colors)}`)
  }
  return EXIT.ok
}

function selectMount(all: readonly MountStatus[], given: string): MountStatus[] {
  const isMounted = (path: Buffer) => findMount(kernelMountTable.list(), path) !== undefined
  const path = escapeName(resolveMountpoint(argToBytes(given), currentFolder(), isMounted))
  const mounts = all.filter(({ mountpoint }) => mountpoint === path)
  if (mounts.length === 0) throw new UsageError(`${path} is not a mount of pbsfs`, { path, remedy: 'pbsfs status lists the mounts.' })
  return mounts
}
