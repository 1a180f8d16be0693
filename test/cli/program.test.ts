import yargs from 'yargs'
import { describe, expect, test } from 'vitest'
import { COMMANDS, commandNames } from '#src/cli/commands/commands.js'
import { main } from '#src/cli/main.js'
import { optionNames, parseCommandLine } from '#src/cli/program.js'
import { describeAllCommands } from '#src/cli/reference/all-commands.js'
import { UsageError } from '#src/errors/errors.js'
import { captureOutput } from '../support/captured-output.js'

const names = COMMANDS.map((define) => String(define(() => undefined).command).split(' ')[0]!)

async function run(...args: string[]) {
  const output = captureOutput()
  return { code: await main(args, output), ...output.texts }
}

describe.each(names)('pbsfs %s --help', (name) => {
  test('shows every option with a word about it, and two examples or more', async () => {
    const { code, out, err } = await run(name, '--help')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    const examples = out.split('Examples:')[1]!
    // A long example stands on lines of its own; each begins with the program's name.
    expect(examples.match(/^ {2}pbsfs /gm)!.length).toBeGreaterThanOrEqual(2)
    for (const example of examples.match(/^ {2}pbsfs \S+/gm)!) expect(example).toBe(`  pbsfs ${name}`)
    const define = COMMANDS[names.indexOf(name)]!
    const parser = yargs()
    const { builder } = define(() => undefined)
    if (typeof builder === 'function') await builder(parser)
    for (const option of optionNames(parser)) {
      const line = new RegExp(`(?:^| )-{0,2}${option}[ ,].*[A-Za-z]{3}`, 'm')
      expect(out).toMatch(line)
    }
  })

  test('says what is wrong with an option it does not know', async () => {
    const { code, err } = await run(name, 'a', 'b', '--frobnicate')
    expect(code).toBe(2)
    expect(err).toContain('no option --frobnicate')
    expect(err).toContain(`pbsfs ${name} --help`)
  })
})

test('every command has a description in the list', async () => {
  const { code, out } = await run('--help')
  expect(code).toBe(0)
  for (const name of names) expect(out).toMatch(new RegExp(`pbsfs ${name}\\b.* {2}[A-Z]`))
})

test('a mistyped option of any command leads to the one that was meant', async () => {
  const wrong: string[] = []
  for (const command of describeAllCommands()) {
    const operands = command.operands.map(({ name }) => name)
    for (const { name } of command.options.filter((option) => option.name.length > 3)) {
      const mistyped = `${name.slice(0, 1)}${name[2]!}${name[1]!}${name.slice(3)}`
      if (mistyped === name) continue
      const { code, err } = await run(command.name, ...operands, `--${mistyped}`)
      if (code !== 2 || !err.includes(`no option --${mistyped}; did you mean --${name}?`)) wrong.push(`${command.name} --${mistyped}: ${err}`)
    }
  }
  expect(wrong).toEqual([])
})

test.each([
  [['umuont', '/x'], 'no command "umuont"; did you mean "umount"?'],
  [['staus'], 'no command "staus"; did you mean "status"?'],
  [['frobnicate'], 'no command "frobnicate"'],
  [[], 'no command is given'],
  [['mount'], 'an argument is missing'],
  [['mount', 'a'], 'an argument is missing'],
  [['mount', 'a', 'b', '--cache-siz', '1G'], 'no option --cache-siz; did you mean --cache-size?'],
  [['mount', 'a', 'b', '--cache-size'], 'a value is missing for --cache-size'],
  [['mount', 'a', 'b', '-q'], 'no option -q'],
  [['ls', '--lnog', 'x'], 'no option --lnog; did you mean --long?'],
  [['find', 'x', '-nmae', 'y'], 'no option -nmae; did you mean -name?'],
  [['find', 'x', '-qqq'], 'no option -qqq'],
  [['key', 'shwo', 'x'], 'there is "key show"'],
  [['mount', 'a', 'b', 'c', 'd'], '"d" is one argument too many'],
  [['mount', 'a', 'b', '--driver', 'x'], '--driver: "x" is none of kernel, fuse-native'],
  [['status', 'a', 'b'], '"b" is one argument too many'],
  [['mount', 'a', 'b', '-o', 'frob'], 'frob'],
])('%j is refused', async (args, message) => {
  const { code, out, err } = await run(...args)
  expect({ code, out }).toEqual({ code: 2, out: '' })
  expect(err).toContain(message)
})

test('a name in a message cannot control the terminal', async () => {
  const { err } = await run('\u001b[2J\udcff')
  expect(err).toContain('\\x1b[2J\\xff')
  expect(err).not.toContain('\u001b')
})

test('version', async () => {
  expect((await run('version')).out).toMatch(/^pbsfs \d+\.\d+\.\d+ \(node \d/)
  expect(JSON.parse((await run('version', '--json')).out)).toMatchObject({ node: process.versions.node })
  expect((await run('--version')).out).toMatch(/^\d+\.\d+\.\d+\n$/)
})

test('aliases are commands, too', () => {
  expect(commandNames()).toEqual(new Set([...names, 'unmount']))
})

test('a command is chosen, not run, by reading the line', async () => {
  const parsed = await parseCommandLine(['mount', '/nowhere', '/nowhere'], '0.0.0')
  expect('action' in parsed).toBe(true)
  await expect(parseCommandLine(['nothing'], '0.0.0')).rejects.toThrow(UsageError)
})
