import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { mountArgs, type Bench } from '../measure/bench.js'
import { PBSFS } from '../measure/mounts.js'
import { IMAGE_NAME, PLACES } from '../writer/parts.js'

/** Runs `work` with the URI of the image, served anew by the product. */
export async function withServedImage(bench: Bench, work: (uri: string) => Promise<void>): Promise<void> {
  const source = `${PLACES.store(bench.folder)}::vm/image/latest/${IMAGE_NAME}`
  const socket = join(bench.memoryFolder, 'image.sock')
  const child = spawn(process.execPath, [PBSFS, 'nbd', ...mountArgs(bench), source, '--socket', socket], { stdio: ['ignore', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  try {
    const [line] = (await Promise.race([once(child.stdout, 'data'), closed.then(() => Promise.reject(new Error('pbsfs nbd has ended')))])) as [Buffer]
    await work(/nbd\+unix:\S+/.exec(line.toString())![0])
  } finally {
    child.kill()
    await closed
  }
}
