import yargs, { type CommandModule } from 'yargs'

interface OptionState {
  readonly key: Readonly<Record<string, unknown>>
  readonly alias: Readonly<Record<string, readonly string[]>>
  readonly boolean: readonly string[]
}

/** The table of a command's options for docs/cli.md, from its definition. */
export async function renderOptions(command: CommandModule): Promise<string> {
  const parser = yargs().help(false).version(false)
  if (typeof command.builder === 'function') await command.builder(parser)
  // Its types leave these methods out.
  const state = (parser as unknown as { getOptions(): OptionState }).getOptions()
  const texts = (parser as unknown as { getInternalMethods(): { getUsageInstance(): { getDescriptions(): Record<string, string> } } })
    .getInternalMethods().getUsageInstance().getDescriptions() // prettier-ignore
  const positionals = new Set([...String(command.command).matchAll(/\w+(?=\.*[\]>])/g)].map((match) => match[0]))
  const aliases = new Set(Object.values(state.alias).flat())
  const names = Object.keys(state.key).filter((name) => !positionals.has(name) && !aliases.has(name))
  const rows = names.map((name) => {
    const short = (state.alias[name] ?? []).map((alias) => `\`${alias.length === 1 ? '-' : '--'}${alias}\`, `)
    const value = state.boolean.includes(name) ? '' : ' ...'
    return `| ${short.join('')}\`--${name}${value}\` | ${(texts[name] ?? '').replace(/^__yargsString__:/, '')} |`
  })
  return ['| Option | |', '| --- | --- |', ...rows].join('\n')
}

/** Replaces what stands between `<!-- options of NAME -->` and `<!-- end -->` by the table of that command. */
export async function fillOptionTables(page: string, commands: readonly CommandModule[]): Promise<string> {
  let filled = page
  for (const command of commands) {
    const name = String(command.command).split(' ')[0]!
    const block = new RegExp(`(<!-- options of ${name} -->\\n)[^]*?(<!-- end -->)`)
    if (!block.test(filled)) continue
    const table = await renderOptions(command)
    filled = filled.replace(block, (_all, begin: string, end: string) => `${begin}${table}\n${end}`)
  }
  return filled
}
