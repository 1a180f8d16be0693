import { findMounts } from '../../daemon/find-mounts.js'
import { mapPlaces } from '../../daemon/image-maps.js'
import { kernelMountTable } from '../../daemon/kernel-mount-table.js'
import { leaveMount } from '../../daemon/leave-mount.js'
import { currentFolder } from '../../daemon/mountpoint.js'
import { findRuntimeFolder } from '../../daemon/runtime-folder.js'
import { paintHead } from '../colors.js'
import type { CommandContext } from '../context.js'
import { EXIT } from '../exit-codes.js'
import { argToBytes } from '../raw-args.js'
import { quoteEscaped } from '../../bytes/shell-quote.js'
import { formatTable } from '../table.js'

export interface UmountArguments {
  readonly mountpoint: string | undefined
  readonly lazy: boolean
}

/** `pbsfs umount`: returns when the mount is gone. */
export async function umount(args: UmountArguments, { output }: CommandContext): Promise<number> {
  if (args.mountpoint === undefined) return listMounts(output)
  const request = { mountpoint: argToBytes(args.mountpoint), cwd: currentFolder(), lazy: args.lazy }
  const result = await leaveMount(request, kernelMountTable)
  if (result.wasDead) output.out(`removed ${result.mountpoint}, which nobody served any more\n`)
  else output.out(`unmounted ${result.mountpoint}\n`)
  if (result.stillUsedBy !== undefined) output.err(`what is open stays readable until it is closed by: ${result.stillUsedBy}\n`)
  return EXIT.ok
}

async function listMounts(output: CommandContext['output']): Promise<number> {
  const isRoot = process.geteuid?.() === 0
  const hidden = mapPlaces(findRuntimeFolder())
  const mounts = (await findMounts(kernelMountTable)).filter(
    ({ state, mountpoint }) => state !== 'leaving' && (isRoot || state !== 'unknown') && !hidden.has(mountpoint),
  )
  if (mounts.length === 0) {
    output.out('nothing is mounted\n')
    return EXIT.ok
  }
  const rows = mounts.map(({ mountpoint, source }) => [mountpoint, source, `pbsfs umount ${quoteEscaped(mountpoint)}`])
  output.out(paintHead(formatTable([['MOUNTPOINT', 'SOURCE', 'LEAVE IT WITH'], ...rows]), output.colors))
  return EXIT.ok
}
