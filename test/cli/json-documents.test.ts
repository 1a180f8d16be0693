import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { main } from '#src/cli/main.js'
import { describeAllCommands } from '#src/cli/reference/all-commands.js'
import { headingOf } from '#src/cli/reference/render-tables.js'
import { openOverlay } from '#src/overlay/open-overlay.js'
import { captureOutput } from '../support/captured-output.js'
import { exampleStore, repoDir } from '../support/golden.js'
import { encodeKeyFile } from '../support/key-writer.js'
import { MemoryStream } from '../support/memory-stream.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const page = readFileSync(join(repoDir, 'docs/cli.md'), 'utf8')
const archive = (time: string) => `${exampleStore}::host/web/${time}/root.pxar`

/** A line of each command that has --json. */
const LINES: Readonly<Record<string, readonly string[]>> = {
  access: ['access', 'setup', 'tape', `${exampleStore}::vm/100/latest`, '--bitmap', 'weekly', '--state-dir', 'FOLDER'],
  check: ['check', exampleStore],
  diff: ['diff', archive('2026-01-01T00:00:00Z'), archive('latest')],
  find: ['find', `${exampleStore}::host/web`, '--all', '-name', 'h*'],
  key: ['key', 'show', 'KEY'],
  list: ['list', exampleStore],
  log: ['log', `${archive('latest')}:etc/hosts`],
  ls: ['ls', archive('latest'), 'etc'],
  overlay: ['overlay', 'status', 'FOLDER/overlays'],
  restore: ['restore', `${archive('latest')}:etc`, 'FOLDER/restored', '--verify'],
  stat: ['stat', archive('latest'), 'etc/hosts'],
  doctor: ['doctor', exampleStore, '--keyfile', 'KEY'],
  status: ['status'],
  version: ['version'],
}

function keysOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(keysOf)
  if (typeof value !== 'object' || value === null) return []
  // The fields of an error are those of its class.
  return Object.entries(value).flatMap(([key, inner]) => [key, ...(key === 'fields' ? [] : keysOf(inner))])
}

test('every command with --json has a line here', () => {
  const names = describeAllCommands().filter(({ options }) => options.some(({ name }) => name === 'json')).map(({ name }) => name)
  expect(names.sort()).toEqual(Object.keys(LINES).sort())
})

test.each(Object.entries(LINES))('%s --json: every field is described', async (name, line) => {
  const folder = temporaryFolder()
  const key = join(folder, 'key')
  writeFileSync(key, encodeKeyFile(), { mode: 0o600 })
  mkdirSync(join(folder, 'overlays'))
  const image = { size: 100, identity: 'abc', image: 'vm/100/2026-01-01T00:00:00Z/drive-scsi0.img' }
  await (await openOverlay(Buffer.from(join(folder, 'overlays/drive')), image, new MemoryStream(Buffer.alloc(100)))).close()
  const output = captureOutput()
  const code = await main([...line.map((word) => (word === 'KEY' ? key : word.replace('FOLDER', folder))), '--json'], output)
  expect(output.texts.err).toBe('')
  // What the doctor finds wrong with this machine, like a mount whose daemon another test has just ended, is a code of its own.
  if (name !== 'doctor') expect(code).toBe(0)
  const documents = output.texts.out.trim().startsWith('{\n') ? [output.texts.out] : output.texts.out.trim().split('\n')
  const heading = headingOf(describeAllCommands().find((command) => command.name === name)!)
  const own = page.split(`\n## ${heading}\n`)[1]!.split('\n## ')[0]!
  const shared = page.split('\n## Looking without a mount\n')[1]!.split('\n## ')[0]!
  const keys = new Set(documents.flatMap((text) => keysOf(JSON.parse(text))))
  expect(keys.size).toBeGreaterThan(2)
  expect([...keys].filter((field) => field !== 'version' && !new RegExp(`[\`."]${field}[\`."]`).test(own + shared))).toEqual([])
})
