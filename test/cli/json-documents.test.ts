import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { withErrorDocument } from '#src/cli/json-errors.js'
import { main } from '#src/cli/main.js'
import { describeAllCommands } from '#src/cli/reference/all-commands.js'
import { headingOf } from '#src/cli/reference/render-tables.js'
import { UsageError } from '#src/errors/errors.js'
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

const gone = '/nonexistent/store'

test.each(Object.entries(LINES).filter(([, line]) => line.some((word) => word.includes(exampleStore)) && line[0] !== 'doctor'))(
  '%s --json: an error is a document, too',
  async (_, line) => {
    const output = captureOutput()
    const words = line.map((word) => word.replace(exampleStore, gone).replace('FOLDER', temporaryFolder()))
    const code = await main([...words, '--json'], output)
    expect(code).toBe(4)
    expect(JSON.parse(output.texts.out)).toMatchObject({ version: 1, error: { kind: 'source', exitCode: 4, message: `${gone}: no such file or directory`, fields: { path: gone } } })
    expect(output.texts.err).toBe(`pbsfs: ${gone}: no such file or directory\n`)
  },
)

test.each([
  ['a line that is not understood', ['ls', exampleStore, '--jsno', '--json'], 'usage', 2],
  ['a key that is missing', ['ls', `${exampleStore}::host/secret/latest/home.pxar`, '--json'], 'key', 5],
  ['a file that is no key', ['key', 'show', '/etc/passwd', '--json'], 'key', 5],
  ['matches, then an error', ['find', archive('latest'), 'nowhere', '--json'], 'node', 4],
] as const)('the error document of %s', async (_, line, kind, exitCode) => {
  const output = captureOutput()
  expect(await main(line, output)).toBe(exitCode)
  expect(JSON.parse(output.texts.out)).toMatchObject({ version: 1, error: { kind, exitCode } })
  for (const word of [kind, 'error', 'exitCode', 'fields']) expect(page).toMatch(new RegExp(`[\`"]${word}[\`"]`))
})

test('no document behind the half of another, and none of it where --json is no option', async () => {
  const output = captureOutput()
  const failing = (text: string) => withErrorDocument(output, (watched) => {
    watched.out(text)
    return Promise.reject(new UsageError('broken'))
  })
  await expect(failing('{"half":')).rejects.toThrow('broken')
  expect(output.texts.out).toBe('{"half":')
  output.texts.out = ''
  await expect(failing('{"line":1}\n')).rejects.toThrow('broken')
  expect(output.texts.out).toMatch(/^\{"line":1\}\n\{"version":1,"error":.*\}\n$/)
  output.texts.out = ''
  expect(await main(['cat', gone], output)).toBe(4)
  expect(await main(['ls', gone, '--', '--json'], output)).toBe(4)
  expect(output.texts.out).toBe('')
})

describe('a store without some of its chunks', () => {
  const store = join(temporaryFolder(), 'store')
  beforeAll(() => {
    cpSync(exampleStore, store, { recursive: true })
    const names = readdirSync(join(store, '.chunks'), { recursive: true, encoding: 'utf8' }).filter((name) => /\/[0-9a-f]{64}$/.test(name))
    for (const name of names) rmSync(join(store, '.chunks', name))
  })

  test.each([
    ['ls', ['ls', '-R', `STORE::host/web/latest`], 3],
    ['log', ['log', 'STORE::host/web/latest/root.pxar:etc/hosts'], 3],
    ['diff', ['diff', 'STORE::host/web/2026-01-01T00:00:00Z', 'STORE::host/web/latest'], 3],
  ] as const)('%s --json tells what it could not read in its document', async (_, line, exitCode) => {
    const output = captureOutput()
    const code = await main([...line.map((word) => word.replace('STORE', store)), '--json'], output)
    const document = JSON.parse(output.texts.out) as { problems: { message: string; fields: object }[] }
    expect(document.problems[0]).toMatchObject({ message: expect.stringContaining('is missing') as string, fields: { digest: expect.any(String) as string } })
    expect(new Set(document.problems.map(({ message }) => message)).size).toBe(document.problems.length)
    expect(code).toBe(exitCode)
  })
})

test('log without the key: every snapshot is named once, none is said not to have the file', async () => {
  const output = captureOutput()
  expect(await main(['log', `${exampleStore}::host/secret/latest/home.pxar:x`], output)).toBe(5)
  expect(output.texts.out).toMatch(/UNREADABLE/)
  expect(output.texts.err.match(/needs key/g)).toHaveLength(1)
})

test.each([
  ['that stops the command', ['ls', `${exampleStore}::host/secret/latest/home.pxar`], 1],
  ['that other things need, too', ['find', exampleStore, '--all', '-name', 'hosts'], 1],
  ['that nothing needs', ['ls', `${exampleStore}::host/secret/latest`], 1],
] as const)('a missing key %s is told once', async (_, line, times) => {
  const output = captureOutput()
  await main(line, output)
  expect(output.texts.err.match(/needs key/g) ?? []).toHaveLength(times)
})
