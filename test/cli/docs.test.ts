import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import yargs from 'yargs'
import { describe, expect, test } from 'vitest'
import { COMMANDS, commandNames } from '#src/cli/commands/commands.js'
import { OWN_OPTIONS } from '#src/cli/mount-options.js'
import { buildProgram, optionNames } from '#src/cli/program.js'
import { describeAllCommands } from '#src/cli/reference/all-commands.js'
import { describeCommand } from '#src/cli/reference/describe-command.js'
import { fillBlocks, headingOf, renderBlocks, renderOptions } from '#src/cli/reference/render-tables.js'
import { valueNameOf } from '#src/cli/reference/value-names.js'
import { XATTR } from '#src/tree/xattr-names.js'
import { repoDir } from '../support/golden.js'

const page = readFileSync(join(repoDir, 'docs/cli.md'), 'utf8')

/** The part of the page under a heading, up to the next one of the same depth. */
function section(heading: string): string {
  const [, rest] = page.split(`\n## ${heading}`)
  if (rest === undefined) throw new Error(`docs/cli.md has no section "${heading}"`)
  return rest.split('\n## ')[0]!
}

const commands = describeAllCommands()
const blocks = renderBlocks(commands)

describe.each(commands)('$name', (command) => {
  const text = section(headingOf(command))

  test('its section holds the table of its options, made by the program: npm run docs writes it', () => {
    expect(text).toContain(`<!-- options of ${command.name} -->\n${renderOptions(command)}\n<!-- end -->\n`)
  })

  test('each option is told in words, each value has a name', () => {
    for (const option of command.options) {
      expect([option.name, option.text]).toEqual([option.name, expect.stringMatching(/\w{3}/)])
      expect([option.name, valueNameOf(option)]).not.toEqual([option.name, 'VALUE'])
    }
  })

  test('what it prints for programs is described', () => {
    if (command.options.some(({ name }) => name === 'json')) expect(text).toMatch(/^`--json`: /m)
  })

  test('aliases are named', () => {
    for (const alias of command.aliases) expect(text).toContain(`\`${alias}\``)
  })
})

test('every table is the one the program makes', () => {
  expect(fillBlocks(page, blocks)).toBe(page)
  for (const name of blocks.keys()) expect(page.split(`<!-- ${name} -->\n`)).toHaveLength(2)
  const names = [...page.matchAll(/<!-- (?!end)(.+?) -->/g)].map((match) => match[1]!)
  expect(names.filter((name) => !blocks.has(name))).toEqual([])
})

test('the parser knows the options that the page tells, and no others', async () => {
  for (const define of COMMANDS) {
    const command = define(() => undefined)
    const parser = yargs().help(false).version(false)
    if (typeof command.builder === 'function') await command.builder(parser)
    const { options, operands } = describeCommand(command)
    const told = [...options.flatMap(({ name, aliases }) => [name, ...aliases]), ...operands.map(({ name }) => name)]
    expect(new Set(optionNames(parser))).toEqual(new Set(told))
  }
})

test('options of every command are described', () => {
  const names = optionNames(buildProgram('0', () => undefined))
  expect(names).toContain('help')
  const head = page.split('\n## ')[0]!
  expect(['h', 'V', ...names].filter((option) => !head.includes(`\`${option.length === 1 ? '-' : '--'}${option}\``))).toEqual([])
})

test('every command has a section, every section a command', () => {
  const sections = [...page.matchAll(/^## pbsfs (\w+)/gm)].map((match) => match[1]!)
  expect(new Set([...sections, 'unmount'])).toEqual(commandNames())
})

test('links lead to headings', () => {
  const anchors = [...page.matchAll(/^#+ (.*)$/gm)].map(([, text]) => text!.toLowerCase().replaceAll(/[^\w -]/g, '').replaceAll(' ', '-'))
  const links = [...page.matchAll(/\]\(#(.*?)\)/g)].map((match) => match[1]!)
  expect(links.length).toBeGreaterThan(commands.length - 1)
  expect(links.filter((link) => !anchors.includes(link))).toEqual([])
})

test('xattr names', () => {
  const names = [...section('Extended attributes').matchAll(/`(user\.pbs\.\w+)`/g)].map((match) => match[1]!)
  expect(new Set(names)).toEqual(new Set(Object.values(XATTR)))
})

test('options of pbsfs among the mount options', () => {
  for (const option of OWN_OPTIONS) expect(section('pbsfs mount')).toContain(`\`${option}=\``)
})
