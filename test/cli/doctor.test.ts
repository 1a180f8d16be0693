import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { exitCodeFor } from '#src/cli/actions/doctor.js'
import { note, ok, problem, type Check } from '#src/doctor/finding.js'
import { exampleStore, repoDir } from '../support/golden.js'
import { encodeKeyFile, TEST_FINGERPRINT } from '../support/key-writer.js'
import { runProgram } from '../support/run-program.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const program = join(repoDir, 'bin/pbsfs.js')
const folder = temporaryFolder()

interface Document {
  readonly version: number
  readonly ok: boolean
  readonly findings: readonly { readonly check: string; readonly state: string; readonly text: string; readonly remedy?: string }[]
}

async function doctor(args: string[], env: NodeJS.ProcessEnv = {}) {
  const finished = await runProgram(process.execPath, [program, 'doctor', ...args], { env: { XDG_CONFIG_HOME: folder, ...env } })
  return finished
}

async function findings(args: string[], env?: NodeJS.ProcessEnv) {
  const { out, err } = await doctor([...args, '--json'], env)
  expect(err).toBe('')
  const document = JSON.parse(out) as Document
  expect(document).toMatchObject({ version: 1, ok: !document.findings.some(({ state }) => state === 'problem') })
  for (const { state, remedy } of document.findings) expect(remedy === undefined).toBe(state === 'ok')
  return (check: string) => document.findings.filter((finding) => finding.check === check)
}

test('every check has a line, and the last one is the sum', async () => {
  const { out } = await doctor([exampleStore])
  for (const check of ['node', 'packages', 'memory', 'kernel', 'fuse-device', 'locks']) expect(out).toMatch(new RegExp(`^(?:ok|note|PROBLEM) +${check} `, 'm'))
  expect(out).toMatch(/^(?:nothing is in the way|\d+ problems?)\n$/m)
})

test('a variable that means nothing, with the one that was meant', async () => {
  const of = await findings([], { PBSFS_CACHE_SIEZ: '1G', PBSFS_FORCE: '1', PBSFS_MASTER_KEY_PASSWORD_CMD: 'x' })
  const [first] = of('variables').filter(({ text }) => text.includes('PBSFS_CACHE_SIEZ'))
  expect(first).toMatchObject({ state: 'note', remedy: 'Was PBSFS_CACHE_SIZE meant?' })
  expect(of('variables').map(({ text }) => text).join()).not.toContain('PASSWORD_CMD')
  expect(of('variables').at(-1)!.text).toContain('PBSFS_FORCE')
})

test('keys by their fingerprints, and nothing that is secret', async () => {
  const key = join(folder, 'a.key')
  writeFileSync(key, encodeKeyFile(), { mode: 0o644 })
  const of = await findings(['--keyfile', key])
  expect(of('keys')[0]).toMatchObject({ state: 'note', remedy: `chmod 600 ${key}` })
  expect(of('keys')[0]!.text.replaceAll(':', '')).toContain(TEST_FINGERPRINT.replaceAll(':', ''))
  const data = (JSON.parse(encodeKeyFile().toString()) as { data: string }).data
  expect((await doctor(['--keyfile', key])).out).not.toContain(data)
  writeFileSync(key, 'no key at all')
  const broken = await doctor(['--keyfile', key])
  expect(broken.code).not.toBe(0)
  expect(broken.out).toMatch(/PROBLEM +keys/)
})

test('the exit code is that of what is in the way', () => {
  const codeFor = (...checks: Check[]) => exitCodeFor(checks.map((check) => problem(check, 'x', 'y')))
  expect(codeFor()).toBe(0)
  expect(exitCodeFor([note('keys', 'x', 'y'), ok('mounts', 'x')])).toBe(0)
  expect([codeFor('keys'), codeFor('keys', 'mounts'), codeFor('mounts')]).toEqual([5, 1, 1])
  expect([codeFor('locks'), codeFor('keys', 'source'), codeFor('mounts', 'snapshots')]).toEqual([4, 4, 4])
  expect([codeFor('fuse-device', 'source', 'keys'), codeFor('kernel')]).toEqual([6, 6])
})

test('a store that is there, one that is not, an archive', async () => {
  expect((await findings([exampleStore]))('snapshots')[0]).toMatchObject({ state: 'ok' })
  expect((await findings(['host/web', '--repository', exampleStore]))('snapshots')[0]).toMatchObject({ state: 'ok', text: expect.stringContaining('3 snapshots') as string })
  const missing = await doctor(['/no/such/store'])
  expect([4, 6]).toContain(missing.code)
  expect(missing.out).toContain('/no/such/store: no such file or directory')
})
