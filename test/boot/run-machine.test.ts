import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startMachine } from '#src/boot/run-machine.js'
import { SourceError } from '#src/errors/errors.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const folder = temporaryFolder()

/** A program that says by a file that it ignores SIGTERM. */
async function startDeaf(name: string, endingMs?: number) {
  const file = join(folder, name)
  const machine = await startMachine('/bin/bash', ['-c', `trap '' TERM; : >'${file}'; while :; do sleep 0.2; done`], process.env, endingMs)
  while (!existsSync(file)) await new Promise((resolve) => setTimeout(resolve, 10))
  return machine
}

it('tells how it ended', async () => {
  expect(await (await startMachine('/bin/sh', ['-c', 'exit $N'], { N: '7' })).ended).toEqual({ code: 7, signal: undefined })
  expect(await (await startMachine('/bin/sh', ['-c', 'kill -9 $$'], process.env)).ended).toEqual({ code: undefined, signal: 'SIGKILL' })
})

it('is told to end', async () => {
  const machine = await startMachine('/bin/sleep', ['60'], process.env)
  machine.stop()
  expect(await machine.ended).toEqual({ code: undefined, signal: 'SIGTERM' })
})

it('that does not end is ended by force: at the second call, or after some time', async () => {
  const first = await startDeaf('first')
  first.stop()
  first.stop()
  expect(await first.ended).toEqual({ code: undefined, signal: 'SIGKILL' })
  const second = await startDeaf('second', 50)
  second.stop()
  expect(await second.ended).toEqual({ code: undefined, signal: 'SIGKILL' })
})

it('that cannot be started is an error', async () => {
  await expect(startMachine(join(folder, 'missing'), [], process.env)).rejects.toThrow(SourceError)
})
