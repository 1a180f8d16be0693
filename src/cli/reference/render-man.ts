import { OTHER_VARIABLES } from '../environment.js'
import type { CommandDescription, CommandOption } from './describe-command.js'
import { exitRows, textOf, variableRows } from './render-tables.js'
import { spellingsOf } from './value-names.js'

/** An option that this many commands have is told once for all. */
const MIN_SHARED = 6

const ABOUT = [
  'pbsfs shows a Proxmox Backup Server datastore, or a part of it, as ordinary read-only files. It reads the folder of the datastore itself and needs no server.',
  'Options may stand anywhere; behind -- everything is an argument. What is printed is escaped: \\xNN stands for a byte that a terminal should not get. What each command does in detail, and the documents of --json, are in docs/cli.md of the package.',
]

const SOURCE = [
  'PATH[::SELECTOR], or the name of a datastore that is configured on this host in place of PATH. PATH is the folder that holds .chunks, a folder or file inside such a datastore, or a lone archive (*.pxar, *.mpxar).',
  'SELECTOR is a path as the mount shows it: ns/prod/ns/eu, host/web, host/web/latest, host/web/2026-01-02T00:00:00Z/root.pxar. Behind an archive, :PATH/INSIDE goes on inside it. Only the first :: and the first : behind an archive separate; \\xNN writes a byte that would.',
]

const FILES: readonly (readonly [path: string, text: string])[] = [
  ['/run/pbsfs, $XDG_RUNTIME_DIR/pbsfs', 'Records, sockets and logs of running mounts, for root and for others.'],
  ['~/.config/proxmox-backup/encryption-key.json', 'The default key, as for the client of the vendor.'],
  ['/etc/proxmox-backup/datastore.cfg', 'Names of the datastores of this host.'],
  ['/etc/fuse.conf', 'user_allow_other lets ordinary users share mounts.'],
]

/** The manual page, section 1. */
export function renderManPage(commands: readonly CommandDescription[], version: string): string {
  const shared = findShared(commands)
  return [
    `.TH PBSFS 1 "" "pbsfs ${version}" "User Commands"`,
    // Options are not to be cut, and words not to be stretched.
    '.nh',
    '.ad l',
    '.SH NAME',
    'pbsfs \\- Proxmox Backup Server datastores as ordinary read\\-only files',
    '.SH SYNOPSIS',
    ...commands.flatMap(({ usage }) => usage).flatMap((form) => [`.B ${escape('pbsfs')}`, escape(form.replace(/^pbsfs /, '')), '.br']),
    '.SH DESCRIPTION',
    ...paragraphs(ABOUT),
    '.SH SOURCE',
    ...paragraphs(SOURCE),
    '.SH COMMANDS',
    ...commands.flatMap((command) => renderCommand(command, shared)),
    '.SH COMMON OPTIONS',
    ...[...shared.values()].flatMap(renderOption),
    '.SH EXIT STATUS',
    ...exitRows().flatMap(([code, meaning]) => item(code, meaning)),
    '.SH ENVIRONMENT',
    ...paragraphs(['Each option has a variable, for every command that takes it; what stands on the command line wins. Flags are set by 1, true, yes or on.']),
    ...variableRows(commands).flatMap(({ variable, option, of }) => item(variable, `${option.replaceAll('\\|', '|')}${of}`)),
    ...OTHER_VARIABLES.flatMap(({ names, text }) => item(names.join(', '), text)),
    '.SH FILES',
    ...FILES.flatMap(([path, text]) => item(path, text)),
    '.SH SEE ALSO',
    '.BR mount (8),',
    '.BR fusermount3 (1),',
    '.BR proxmox\\-backup\\-client (1)',
    '',
  ].join('\n')
}

function renderCommand(command: CommandDescription, shared: ReadonlyMap<string, CommandOption>): string[] {
  const own = command.options.filter((option) => !shared.has(option.name))
  const hasShared = own.length < command.options.length
  const names = command.aliases.length === 0 ? '' : ` Also called ${command.aliases.join(', ')}.`
  return [
    ...command.usage.map((form) => `.SS ${escape(form)}`),
    escape(`${command.text}.${names}`.replace('?.', '?')),
    ...own.flatMap(renderOption),
    ...(hasShared ? ['.PP', 'Takes common options, too: ' + command.options.filter(({ name }) => shared.has(name)).map(({ name }) => escape(`--${name}`)).join(', ') + '.'] : []),
    ...command.examples.flatMap(({ line, text }) => ['.PP', escape(`${text}:`), '.PP', '.RS 4', '.nf', escape(line), '.fi', '.RE']),
  ]
}

function renderOption(option: CommandOption): string[] {
  return item(spellingsOf(option).join(', '), textOf(option))
}

function findShared(commands: readonly CommandDescription[]): Map<string, CommandOption> {
  const all = commands.flatMap(({ options }) => options)
  return new Map(all.filter(({ name }) => all.filter((other) => other.name === name).length >= MIN_SHARED).map((option) => [option.name, option]))
}

function item(term: string, text: string): string[] {
  return ['.TP', `.B ${escape(term)}`, escape(text)]
}

function paragraphs(texts: readonly string[]): string[] {
  return texts.flatMap((text) => ['.PP', escape(text)])
}

/** Text that roff takes for nothing else. */
function escape(text: string): string {
  return text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('~', '\\(ti').replaceAll('^', '\\(ha').replaceAll("'", '\\(aq').replace(/^\./, '\\&.')
}
