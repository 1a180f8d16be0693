import yargs, { type Argv, type CommandModule } from 'yargs'

/** An option as its command defines it. */
export interface CommandOption {
  /** Without dashes, as it is written: `cache-size`. */
  readonly name: string
  /** Other ways to write it, without dashes. */
  readonly aliases: readonly string[]
  readonly isFlag: boolean
  /** The values it takes, when there are only some. */
  readonly choices: readonly string[] | undefined
  readonly text: string
}

/** Options of the parser itself, the same for every command. */
const GLOBAL_OPTIONS = new Set(['help', 'version'])

/** What the types of yargs leave out. */
interface ParserState {
  readonly key: Readonly<Record<string, unknown>>
  readonly alias: Readonly<Record<string, readonly string[]>>
  readonly boolean: readonly string[]
  readonly choices: Readonly<Record<string, readonly unknown[]>>
}
interface ParserInside {
  getOptions(): ParserState
  getInternalMethods(): {
    getUsageInstance(): { getDescriptions(): Readonly<Record<string, string | undefined>> }
    getContext(): { readonly fullCommands: readonly string[] }
  }
}

/** The first word of a command's definition. */
export function nameOf(command: CommandModule): string {
  return String(command.command).split(' ')[0]!
}

/** Names of the arguments in `mount <source> <mountpoint> [more]`, in their order. */
export function operandsOf(definition: string): string[] {
  return [...definition.matchAll(/[<[]([\w-]+)(?:\.\.)?[\]>]/g)].map((match) => match[1]!)
}

/** The options of a command, in the order of its definition. */
export async function optionsOf(command: CommandModule): Promise<CommandOption[]> {
  const parser = yargs().help(false).version(false)
  if (typeof command.builder === 'function') await command.builder(parser)
  return readOptions(parser, operandsOf(String(command.command)))
}

/** The options of the command that a parser has come to while it reads a line. */
export function optionsAt(parser: Argv): CommandOption[] {
  const inside = (parser as unknown as ParserInside).getInternalMethods()
  return readOptions(parser, inside.getContext().fullCommands.flatMap(operandsOf))
}

function readOptions(parser: Argv, operands: readonly string[]): CommandOption[] {
  const inside = parser as unknown as ParserInside
  const state = inside.getOptions()
  const texts = inside.getInternalMethods().getUsageInstance().getDescriptions()
  // A parser that reads a line has aliases in both directions, and names in camel case among them.
  const longest = (name: string) => [name, ...(state.alias[name] ?? [])].filter((known) => !/[A-Z]/.test(known)).sort((a, b) => b.length - a.length)
  const names = Object.keys(state.key).filter((name) => longest(name)[0] === name && !operands.includes(name) && !GLOBAL_OPTIONS.has(name))
  return names.map((name) => ({
    name,
    aliases: longest(name).slice(1),
    isFlag: state.boolean.includes(name),
    choices: state.choices[name]?.map(String),
    text: (texts[name] ?? '').replace(/^__yargsString__:/, ''),
  }))
}
