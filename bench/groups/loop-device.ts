import { runProgram } from '../measure/programs.js'

/** Runs `work` with a read-only loop device over a file. */
export async function withLoopDevice(path: string, work: (device: string) => Promise<void>): Promise<void> {
  const { output } = await runProgram('losetup', ['--read-only', '--find', '--show', path], { keepOutput: true })
  const device = output.trim()
  try {
    await work(device)
  } finally {
    await runProgram('losetup', ['--detach', device])
  }
}
