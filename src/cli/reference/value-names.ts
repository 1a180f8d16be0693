import type { CommandOption } from './describe-command.js'

/** What stands for the value of an option in the reference, and tells a completion what to offer. */
const VALUE_NAMES: Readonly<Record<string, string>> = {
  access: 'TARGET-ID',
  bitmap: 'NAME',
  'cache-size': 'SIZE',
  damaged: 'HOW',
  decoders: 'N',
  driver: 'NAME',
  exclude: 'PATTERN',
  fallback: 'STORE',
  format: 'FORMAT',
  group: 'GROUP',
  id: 'ID',
  iname: 'PATTERN',
  keyfd: 'N',
  keyfile: 'FILE',
  log: 'FILE',
  'log-level': 'LEVEL',
  'master-keyfile': 'FILE',
  memory: 'SIZE',
  name: 'PATTERN',
  newer: 'FILE|DATE',
  ns: 'NS',
  options: 'LIST',
  overlay: 'PATH',
  partition: 'N',
  path: 'PATTERN',
  pattern: 'PATTERN',
  'payload-input': 'FILE',
  rate: 'SIZE',
  repository: 'STORE',
  listen: 'HOST:PORT',
  since: 'SNAPSHOT',
  size: 'SIZE',
  socket: 'PATH',
  'state-dir': 'FOLDER',
  'tls-certificates': 'FOLDER',
  'tls-psk': 'FILE',
  type: 'LETTERS',
}

/** Undefined for a flag. */
export function valueNameOf({ name, isFlag }: Pick<CommandOption, 'name' | 'isFlag'>): string | undefined {
  return isFlag ? undefined : (VALUE_NAMES[name] ?? 'VALUE')
}

/** `-p N, --partition N` as one would write it: every spelling, the short ones first. */
export function spellingsOf(option: CommandOption): string[] {
  const value = valueNameOf(option)
  const names = [...option.aliases, option.name].sort((a, b) => a.length - b.length)
  return names.map((name, i) => `${name.length === 1 ? '-' : '--'}${name}${value !== undefined && i === names.length - 1 ? ` ${value}` : ''}`)
}
