import { listMaps, removeMap } from '../../daemon/image-maps.js'
import { kernelMountTable } from '../../daemon/kernel-mount-table.js'
import { findRuntimeFolder } from '../../daemon/runtime-folder.js'
import type { MapStatus } from '../../daemon/status.js'
import { UsageError } from '../../errors/errors.js'
import { paintHead } from '../colors.js'
import type { CommandContext } from '../context.js'
import { EXIT } from '../exit-codes.js'
import { formatTable } from '../table.js'

export interface UnmapArguments {
  readonly device: string | undefined
  readonly all: boolean
}

/** `pbsfs unmap`: returns when the device and the mount behind it are gone. */
export async function unmap({ device, all }: UnmapArguments, { output }: CommandContext): Promise<number> {
  const runtime = findRuntimeFolder()
  if (device !== undefined && all) throw new UsageError('either DEVICE or --all')
  const maps = await listMaps(runtime, kernelMountTable)
  if (device === undefined && !all) {
    output.out(maps.length === 0 ? 'nothing is mapped\n' : paintHead(formatTable([['DEVICE', 'STATE', 'SOURCE', 'REMOVE IT WITH'], ...maps.map(mapRow)]), output.colors))
    return EXIT.ok
  }
  for (const name of device === undefined ? maps.map((map) => map.device) : [device]) {
    const removed = await removeMap(name, runtime, kernelMountTable)
    output.out(`removed ${removed.device}\n`)
  }
  return EXIT.ok
}

function mapRow({ device, state, source }: MapStatus): string[] {
  return [device, state, source, `pbsfs unmap ${device}`]
}
