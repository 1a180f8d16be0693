import type { Argv, CommandModule } from 'yargs'

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

/** All that a definition says of a command. */
export interface CommandDescription {
  readonly name: string
  readonly aliases: readonly string[]
  readonly text: string
  /** One line for each form. */
  readonly usage: readonly string[]
  readonly operands: readonly { readonly name: string; readonly repeated: boolean; readonly text: string }[]
  readonly options: readonly CommandOption[]
  readonly examples: readonly { readonly line: string; readonly text: string }[]
}

interface GivenOption {
  readonly alias?: string | readonly string[]
  readonly type?: string
  readonly choices?: readonly unknown[]
  readonly describe?: string
}

/** Reads a definition without a parser: nothing has to be loaded for it. */
export function describeCommand(command: CommandModule): CommandDescription {
  const definition = String(command.command)
  const texts = new Map<string, string>()
  const options: CommandOption[] = []
  const usage: string[] = []
  const examples: { line: string; text: string }[] = []
  const addOption = (name: string, given: GivenOption): void => {
    options.push({
      name,
      aliases: [given.alias ?? []].flat(),
      isFlag: given.type === 'boolean',
      choices: given.choices?.map(String),
      text: given.describe ?? '',
    })
  }
  const methods: Readonly<Record<string, (first: never, second: never) => void>> = {
    usage: (text: string) => usage.push(...text.split('\n')),
    positional: (name: string, given: GivenOption) => texts.set(name, given.describe ?? ''),
    option: addOption,
    options: (given: Readonly<Record<string, GivenOption>>) => Object.entries(given).forEach(([name, option]) => addOption(name, option)),
    example: (line: string, text: string) => examples.push({ line, text }),
  }
  const recorder: unknown = new Proxy({}, {
    get: (_, method) => (...args: [never, never]) => {
      methods[String(method)]?.(...args)
      return recorder
    },
  }) // prettier-ignore
  if (typeof command.builder === 'function') void command.builder(recorder as Argv)
  const operands = [...definition.matchAll(/[<[]([\w-]+)(\.\.)?[\]>]/g)].map(([, name, dots]) => ({
    name: name!,
    repeated: dots !== undefined,
    text: texts.get(name!) ?? '',
  }))
  return {
    name: definition.split(' ')[0]!,
    aliases: [command.aliases ?? []].flat(),
    text: typeof command.describe === 'string' ? command.describe : '',
    usage,
    operands,
    options,
    examples,
  }
}
