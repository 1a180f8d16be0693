import { EXIT, EXIT_MEANINGS, type ExitName } from '../exit-codes.js'
import { OTHER_VARIABLES, REPEATABLE, variableOf } from '../environment.js'
import type { CommandDescription, CommandOption } from './describe-command.js'
import { spellingsOf } from './value-names.js'

/** An option of more commands than this is told without their names. */
const MAX_NAMED_COMMANDS = 5

/** Blocks of docs/cli.md by the words behind `<!--`. */
export function renderBlocks(commands: readonly CommandDescription[]): Map<string, string> {
  const blocks = new Map(commands.map((command) => [`options of ${command.name}`, renderOptions(command)]))
  blocks.set('commands', table(['Command', ''], commands.map(({ name, text }) => [`[\`${name}\`](#${anchorOf(commands, name)})`, escapeCell(text)])))
  blocks.set('exit codes', table(['Code', ''], exitRows().map(([code, meaning]) => [code, escapeCell(meaning)])))
  blocks.set('variables of options', table(['Variable', 'Stands for'], variableRows(commands).map(({ variable, option, of }) => [`\`${variable}\``, `\`${option}\`${of}`])))
  blocks.set('other variables', table(['Variable', ''], OTHER_VARIABLES.map(({ names, text }) => [names.map((name) => `\`${name}\``).join(', '), escapeCell(text)])))
  return blocks
}

/** The page with every block as the program has it. */
export function fillBlocks(page: string, blocks: ReadonlyMap<string, string>): string {
  return page.replaceAll(/<!-- (.+?) -->\n[^]*?<!-- end -->/g, (all, name: string) => {
    const block = blocks.get(name)
    return block === undefined ? all : `<!-- ${name} -->\n${block}\n<!-- end -->`
  })
}

/** The table of a command's options. */
export function renderOptions({ options }: CommandDescription): string {
  if (options.length === 0) return 'No options of its own.'
  return table(['Option', ''], options.map((option) => [spellingsOf(option).map((text) => `\`${text.replaceAll('|', '\\|')}\``).join(', '), escapeCell(textOf(option))]))
}

/** What an option is for, with the values it takes. */
export function textOf({ text, choices }: CommandOption): string {
  const missing = choices?.filter((choice) => !text.includes(choice)) ?? []
  return missing.length === 0 ? text : `${text}: ${choices!.join(', ')}`
}

export function exitRows(): [code: string, meaning: string][] {
  return Object.entries(EXIT).map(([name, code]) => [String(code), EXIT_MEANINGS[name as ExitName]])
}

/** Every variable that stands for an option, sorted. */
export function variableRows(commands: readonly CommandDescription[]): { variable: string; option: string; of: string }[] {
  const options = new Map<string, { option: CommandOption; users: string[] }>()
  for (const command of commands) {
    for (const option of command.options) {
      const known = options.get(option.name)
      if (known === undefined) options.set(option.name, { option, users: [command.name] })
      else known.users.push(command.name)
    }
  }
  return [...options.keys()].sort().map((name) => {
    const { option, users } = options.get(name)!
    const of = users.length > MAX_NAMED_COMMANDS ? '' : ` of ${users.join(', ')}`
    const lines = REPEATABLE.has(name) ? '; one value a line' : ''
    return { variable: variableOf(name), option: spellingsOf({ ...option, aliases: [] })[0]!.replaceAll('|', '\\|'), of: of + lines }
  })
}

/** The link to a heading, as GitHub makes it. */
function anchorOf(commands: readonly CommandDescription[], name: string): string {
  const command = commands.find((known) => known.name === name)!
  return headingOf(command).toLowerCase().replaceAll(/[^\w -]/g, '').replaceAll(' ', '-')
}

/** `pbsfs log SOURCE [PATH]`: the first form of a command, without options. */
export function headingOf({ usage, name }: CommandDescription): string {
  return (usage[0] ?? `pbsfs ${name}`).replace(/ \[(?:options|tests)\]/g, '')
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`.replaceAll('|  |', '| |')).join('\n')
}

function escapeCell(text: string): string {
  return text.replaceAll(/[*<|]/g, '\\$&')
}
