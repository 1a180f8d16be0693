import { mountArgs, type Bench } from '../measure/bench.js'
import { PBSFS } from '../measure/mounts.js'
import { runProgram } from '../measure/programs.js'
import { IMAGE_NAME, PLACES } from '../writer/parts.js'

/** Runs `work` with the image as a block device, mapped anew by the product; only root may. */
export async function withMappedImage(bench: Bench, work: (device: string) => Promise<void>): Promise<void> {
  const source = `${PLACES.store(bench.folder)}::vm/image/latest/${IMAGE_NAME}`
  const map = [PBSFS, 'map', ...mountArgs(bench), source]
  const { output } = await runProgram(process.execPath, map, { keepOutput: true })
  const device = output.trim()
  try {
    await work(device)
  } finally {
    await runProgram(process.execPath, [PBSFS, 'unmap', device])
  }
}
