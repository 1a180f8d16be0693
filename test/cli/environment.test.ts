import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { nameVariables, readEnvironment, REPEATABLE, variableOf } from '#src/cli/environment.js'
import { describeAllCommands } from '#src/cli/reference/all-commands.js'
import type { CommandOption } from '#src/cli/reference/describe-command.js'
import { UsageError } from '#src/errors/errors.js'
import { exampleStore, repoDir } from '../support/golden.js'
import { runProgram, sh } from '../support/run-program.js'

const program = join(repoDir, 'bin/pbsfs.js')
const commands = describeAllCommands()

const option = (name: string, more: Partial<CommandOption> = {}): CommandOption => ({ name, aliases: [], isFlag: false, choices: undefined, text: '', ...more })
const OPTIONS = [option('cache-size'), option('keyfile'), option('json', { isFlag: true }), option('driver', { choices: ['a', 'b'] }), option('no-lock', { isFlag: true }), option('ns')] // prettier-ignore
const read = (env: NodeJS.ProcessEnv, given: Record<string, unknown> = {}) => {
  return Object.fromEntries([...readEnvironment(OPTIONS, given, env)].map(([name, { value }]) => [name, value]))
}

describe('readEnvironment', () => {
  test.each<[NodeJS.ProcessEnv, Record<string, unknown>]>([
    [{ PBSFS_CACHE_SIZE: '1G', PBSFS_UNKNOWN: 'x', CACHE_SIZE: '2' }, { 'cache-size': '1G' }],
    [{ PBSFS_CACHE_SIZE: '', PBSFS_JSON: '' }, {}],
    ...['1', 'true', 'yes', 'on', 'TRUE', 'Yes'].map((text): [NodeJS.ProcessEnv, Record<string, unknown>] => [{ PBSFS_JSON: text }, { json: true }]),
    ...['0', 'false', 'no', 'off'].map((text): [NodeJS.ProcessEnv, Record<string, unknown>] => [{ PBSFS_JSON: text }, {}]),
    [{ PBSFS_KEYFILE: '/a b:c,d' }, { keyfile: ['/a b:c,d'] }],
    [{ PBSFS_KEYFILE: '/a\n/b\n' }, { keyfile: ['/a', '/b'] }],
    [{ PBSFS_CACHE_SIZE: '1G\n2G' }, { 'cache-size': '1G\n2G' }],
    [{ PBSFS_DRIVER: 'b' }, { driver: 'b' }],
    // Where SOURCE is no place in a store, they mean nothing.
    [{ PBSFS_NS: 'a' }, {}],
  ])('%j', (env, values) => expect(read(env)).toEqual(values))

  test.each([
    [{ 'cache-size': '2G' }],
    [{ options: 'uid=1,cache-size=2G' }],
    [{ options: ['uid=1', 'cache_size=2G'] }],
  ])('%j on the line wins', (given) => expect(read({ PBSFS_CACHE_SIZE: '1G' }, given)).toEqual({}))

  test('gives way to an option that means the contrary', () => {
    expect(read({ PBSFS_NO_LOCK: '1' }, { 'require-lock': true })).toEqual({})
    expect(read({ PBSFS_NO_LOCK: '1' }, { options: 'ro' })).toEqual({ 'no-lock': true })
  })

  test.each([
    [{ PBSFS_JSON: 'maybe' }, 'PBSFS_JSON: "maybe" is neither yes nor no'],
    [{ PBSFS_DRIVER: 'c' }, 'PBSFS_DRIVER: "c" is none of a, b'],
  ])('%j is refused', (env, message) => expect(() => read(env)).toThrow(message))
})

test('an error about an option names the variable it came from, and no option that begins like it', () => {
  const applied = new Map([['log', { value: 'x', variable: 'PBSFS_LOG' }]])
  const renamed = nameVariables(new UsageError('--log: no; --log-level: no'), applied) as UsageError
  expect(renamed.message).toBe('PBSFS_LOG: no; --log-level: no')
  const other = new Error('--log')
  expect(nameVariables(other, applied)).toBe(other)
})

test('every option has a variable of its own, and none is one that the program or its tests use for something else', () => {
  const variables = new Map<string, string>()
  for (const command of commands) {
    for (const { name } of command.options) {
      expect(variables.get(variableOf(name)) ?? name).toBe(name)
      variables.set(variableOf(name), name)
    }
  }
  expect(variables.get('PBSFS_CACHE_SIZE')).toBe('cache-size')
  const files = ['test/support', 'test/daemon', 'test/fuzz', 'test/load', '.ci', 'src'].flatMap((folder) =>
    readdirSync(join(repoDir, folder), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)),
  ) // prettier-ignore
  const used = new Set(files.flatMap((file) => [...readFileSync(file, 'latin1').matchAll(/['".{$](PBSFS_[A-Z_]+)/g)].map((match) => match[1]!)))
  for (const known of ['PBSFS_GOLDEN', 'PBSFS_FAKE', 'PBSFS_NO_SKIP', 'PBSFS_MASTER_KEY_PASSWORD']) {
    expect(used).toContain(known)
    expect(variables.has(known)).toBe(false)
  }
  const meant = new Set(['PBSFS_REPOSITORY', 'PBSFS_NS', 'PBSFS_DEBUG'])
  expect([...used].filter((name) => variables.has(name) && !meant.has(name))).toEqual([])
})

test('what may be repeated takes several values from its variable', () => {
  for (const command of commands) {
    for (const { name, text } of command.options) {
      if (text.includes('may be repeated')) expect(REPEATABLE.has(name)).toBe(true)
    }
  }
})

describe('the program', () => {
  const run = (args: string[], env: NodeJS.ProcessEnv) => runProgram(process.execPath, [program, ...args], { env })

  test('takes options from the environment, the line wins, and a positional of the same name is left alone', async () => {
    const ls = await run(['ls', exampleStore], { PBSFS_JSON: 'yes', PBSFS_PATH: 'host', PBSFS_CACHE_SIZE: '64M' })
    expect(JSON.parse(ls.out)).toMatchObject({ version: 1, entries: [{ path: 'host' }, { path: 'ns' }, { path: 'vm' }] })
    expect((await run(['ls', exampleStore, '--json=false'], { PBSFS_JSON: '1' })).out).toBe('host\nns\nvm\n')
    expect(await run(['ls', exampleStore, '--cache-size', '64M'], { PBSFS_CACHE_SIZE: 'lots' })).toMatchObject({ code: 0, err: '' })
    const found = await run(['find', `${exampleStore}::host/web/latest/root.pxar`], { PBSFS_NAME: '*ho*\n*sts' })
    expect(found.out).toBe('./etc/hosts\n')
  })

  test.each([
    [['ls', exampleStore], { PBSFS_CACHE_SIZE: 'lots' }, 'PBSFS_CACHE_SIZE: "lots" is not a size'],
    [['ls', exampleStore], { PBSFS_DECODERS: '0' }, 'PBSFS_DECODERS: "0" is not a number'],
    [['mount', exampleStore, '/nowhere/x'], { PBSFS_CACHE_SIZE: '1k' }, 'PBSFS_CACHE_SIZE: "1k" is too small'],
    [['mount', exampleStore, '/nowhere/x'], { PBSFS_LOG_LEVEL: 'all' }, 'PBSFS_LOG_LEVEL: "all" is none of debug'],
    [['ls', exampleStore], { PBSFS_NO_LOCK: '1', PBSFS_REQUIRE_LOCK: '1' }, 'PBSFS_NO_LOCK and PBSFS_REQUIRE_LOCK exclude each other'],
  ])('%j with %j', async (args, env, message) => {
    const { code, err } = await run(args, env)
    expect([code, err]).toEqual([2, expect.stringContaining(message)])
  })

  test('a value that is no UTF-8 is the bytes it is', async () => {
    const err = await sh(`PBSFS_KEYFILE=$'/no\\xff/key' '${process.execPath}' '${program}' ls '${exampleStore}' 2>&1 || true`)
    expect(err).toContain('/no\\xff/key')
  })

  test('a place in the store that a variable names', async () => {
    const store = { PBSFS_REPOSITORY: exampleStore }
    expect((await run(['ls', 'host'], store)).out).toBe('secret\nweb\n')
    expect((await run(['ls', 'host'], { ...store, PBS_REPOSITORY: 'nothing' })).out).toBe('secret\nweb\n')
    expect((await run(['ls', exampleStore], store)).out).toBe('host\nns\nvm\n')
    expect((await run(['ls', 'host'], { ...store, PBSFS_NS: 'offsite' })).out).toBe('web\n')
    expect((await run(['ls', 'ns/offsite/host'], { ...store, PBSFS_NS: 'offsite' })).out).toBe('web\n')
    expect((await run(['ls', 'host', '--ns', 'offsite'], store)).out).toBe('web\n')
  })

  test('PBS_REPOSITORY leads there as it does for the client of the vendor', async () => {
    const file = await sh(`f=$(mktemp); echo '${exampleStore}' > $f; PBS_REPOSITORY_FILE=$f '${process.execPath}' '${program}' ls host; rm $f`)
    expect(file).toBe('secret\nweb\n')
    const command = await run(['ls', 'host'], { PBS_REPOSITORY_CMD: `echo '${exampleStore}'` })
    expect(command.out).toBe('secret\nweb\n')
    const remote = await run(['ls', 'host'], { PBS_REPOSITORY: 'root@pam@pbs.example.com:main' })
    expect([remote.code, remote.err]).toEqual([2, expect.stringContaining('names a server')])
  })
})
