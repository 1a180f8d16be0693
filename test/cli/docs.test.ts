import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import yargs from 'yargs'
import { describe, expect, test } from 'vitest'
import { COMMANDS, commandNames } from '#src/cli/commands/commands.js'
import { EXIT } from '#src/cli/exit-codes.js'
import { OWN_OPTIONS } from '#src/cli/mount-options.js'
import { fillOptionTables } from '#src/cli/render-options.js'
import { buildProgram, optionNames } from '#src/cli/program.js'
import { XATTR } from '#src/tree/xattr-names.js'
import { repoDir } from '../support/golden.js'

const page = readFileSync(join(repoDir, 'docs/cli.md'), 'utf8')

/** The part of the page under a heading, up to the next one of the same depth. */
function section(heading: string): string {
  const [, rest] = page.split(`\n## ${heading}`)
  if (rest === undefined) throw new Error(`docs/cli.md has no section "${heading}"`)
  return rest.split('\n## ')[0]!
}

const quoted = (text: string, option: string) => text.includes(option.length === 1 ? `\`-${option}\`` : `\`--${option}\``) || text.includes(`\`--${option} `) // prettier-ignore

describe.each(COMMANDS.map((define) => define(() => undefined)))('$command', (command) => {
  const name = String(command.command).split(' ')[0]!

  test('every option is described, and none that is not there', async () => {
    const parser = yargs().help(false).version(false)
    if (typeof command.builder === 'function') await command.builder(parser)
    const positionals = [...String(command.command).matchAll(/\w+(?=\.*[\]>])/g)].map((match) => match[0])
    const names = optionNames(parser).filter((option) => !positionals.includes(option))
    const text = section(`pbsfs ${name}`)
    expect(names.filter((option) => !quoted(text, option))).toEqual([])
    const table = text.split('\n').filter((line) => /^\| `-/.test(line)).map((line) => line.split('|')[1]!) // prettier-ignore
    const described = table.flatMap((cell) => [...cell.matchAll(/`--?([\w-]+)/g)].map((match) => match[1]!))
    expect(described.filter((option) => !names.includes(option))).toEqual([])
  })

  test('aliases are named', () => {
    for (const alias of [command.aliases ?? []].flat()) expect(section(`pbsfs ${name}`)).toContain(`\`${alias}\``)
  })
})

test('option tables are those the program makes: npm run docs writes them', async () => {
  expect(await fillOptionTables(page, COMMANDS.map((define) => define(() => undefined)))).toBe(page)
})

test('options of every command are described', () => {
  const names = optionNames(buildProgram('0', () => undefined))
  expect(names).toContain('help')
  expect(['h', 'V', ...names].filter((option) => !quoted(page.split('\n## ')[0]!, option))).toEqual([])
})

test('every command has a section, every section a command', () => {
  const sections = [...page.matchAll(/^## pbsfs (\w+)/gm)].map((match) => match[1]!)
  expect(new Set([...sections, 'unmount'])).toEqual(commandNames())
})

test('exit codes', () => {
  const rows = [...section('Exit codes').matchAll(/^\| (\d+) \|/gm)].map((match) => Number(match[1]))
  expect(rows).toEqual(Object.values(EXIT))
})

test('xattr names', () => {
  const names = [...section('Extended attributes').matchAll(/`(user\.pbs\.\w+)`/g)].map((match) => match[1]!)
  expect(new Set(names)).toEqual(new Set(Object.values(XATTR)))
})

test('options of pbsfs among the mount options', () => {
  for (const option of OWN_OPTIONS) expect(section('pbsfs mount')).toContain(`\`${option}=\``)
})
