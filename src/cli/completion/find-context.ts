import type { CommandDescription, CommandOption } from '../reference/describe-command.js'

/** What the word under the cursor is. */
export type Context =
  | { readonly kind: 'command' }
  | { readonly kind: 'option'; readonly command: CommandDescription; readonly given: ReadonlySet<string> }
  /** `prefix` stands before the value in the same word: `--driver=`. */
  | { readonly kind: 'value'; readonly option: CommandOption; readonly prefix: string; readonly line: Line }
  | { readonly kind: 'operand'; readonly name: string; readonly line: Line }
  | { readonly kind: 'nothing' }

/** What stands before the cursor. */
export interface Line {
  readonly command: CommandDescription
  readonly operands: readonly string[]
  /** Values of options by name; of a flag `''`. */
  readonly options: ReadonlyMap<string, readonly string[]>
}

/** `words`: behind the program's name, the last one being typed. */
export function findContext(words: readonly string[], commands: readonly CommandDescription[]): Context {
  const typed = words.at(-1) ?? ''
  if (words.length <= 1) return { kind: 'command' }
  const command = commands.find(({ name, aliases }) => [name, ...aliases].includes(words[0]!))
  if (command === undefined) return { kind: 'nothing' }
  const operands: string[] = []
  const options = new Map<string, string[]>()
  const add = (option: CommandOption, value: string) => options.set(option.name, [...(options.get(option.name) ?? []), value])
  let open: CommandOption | undefined
  let ended = false
  for (const word of words.slice(1, -1)) {
    if (open !== undefined) {
      add(open, word)
      open = undefined
    } else if (ended || !word.startsWith('-') || word === '-') {
      operands.push(word)
    } else if (word === '--') {
      ended = true
    } else {
      const [name, value] = splitOption(word)
      const option = findOption(command, name)
      if (option === undefined) continue
      if (value !== undefined || option.isFlag) add(option, value ?? '')
      else open = option
    }
  }
  const line = { command, operands, options }
  if (open !== undefined) return { kind: 'value', option: open, prefix: '', line }
  if (!ended && typed.startsWith('-')) {
    const [name, value] = splitOption(typed)
    const option = value === undefined ? undefined : findOption(command, name)
    if (option !== undefined) return { kind: 'value', option, prefix: typed.slice(0, typed.indexOf('=') + 1), line }
    return { kind: 'option', command, given: new Set(options.keys()) }
  }
  const operand = command.operands[operands.length] ?? (command.operands.at(-1)?.repeated === true ? command.operands.at(-1) : undefined)
  return operand === undefined ? { kind: 'nothing' } : { kind: 'operand', name: operand.name, line }
}

function splitOption(word: string): [name: string, value: string | undefined] {
  const [, name, value] = /^--?([^=]*)(?:=(.*))?$/s.exec(word)!
  return [name!, value]
}

/** Several short ones may stand in one word; the last of them counts. */
function findOption({ options }: CommandDescription, name: string): CommandOption | undefined {
  const known = options.find((option) => [option.name, ...option.aliases].includes(name))
  return known ?? (/^\w+$/.test(name) ? options.find(({ aliases }) => aliases.includes(name.at(-1)!)) : undefined)
}
