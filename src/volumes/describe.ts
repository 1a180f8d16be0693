import { escapeName } from '../bytes/names.js'
import type { PbsfsError } from '../errors/errors.js'
import type { DiskScan } from './scan-disk.js'
import type { Note, Volume } from './volume.js'

const TABLES = { gpt: 'partitioned with a GPT', mbr: 'partitioned with an MBR', none: 'no partition table' } as const

/** The README of a folder of volumes: what each file is and how to mount it. */
export function describeDisk(
  disk: string,
  scan: DiskScan,
  volumes: readonly Volume[],
  notes: readonly Note[],
  problems: readonly PbsfsError[],
): string {
  const lines = [`What is inside ${escapeName(disk)} (${TABLES[scan.table]}), each partition and volume as a file, read only.`, '']
  for (const volume of volumes) lines.push(...describeVolume(volume), '')
  for (const note of notes) lines.push(note.name, `  ${note.text.trimEnd()}`, '')
  if (volumes.length + notes.length === 0) lines.push('Nothing that pbsfs knows was found in it.', '')
  for (const problem of problems) lines.push(`PROBLEM: ${escapeName(problem.message)}${placeOf(problem)}`)
  if (problems.length > 0) lines.push('')
  if (volumes.some(({ fileSystem }) => fileSystem?.mountable === true)) lines.push(...WITHOUT_ROOT, '')
  return lines.join('\n')
}

const WITHOUT_ROOT = [
  'As root the lines above mount a file system. Without root: fuse2fs -o ro FILE FOLDER or',
  'debugfs FILE (ext), mdir -i FILE (vfat), guestmount --ro -a IMAGE -i FOLDER (all).',
  'pbsfs map gives root a block device of an image with all of its partitions.',
]

function describeVolume({ name, stream, title, fileSystem, problem }: Volume): string[] {
  const kind = fileSystem === undefined ? 'no known file system' : fileSystem.type
  const facts = [
    kind,
    `${stream.size} bytes`,
    ...(fileSystem?.label === undefined ? [] : [`label "${escapeName(fileSystem.label)}"`]),
    ...(fileSystem?.uuid === undefined ? [] : [`UUID ${escapeName(fileSystem.uuid)}`]),
  ]
  const lines = [name, `  ${title}: ${facts.join(', ')}`]
  if (fileSystem?.mountable === true) lines.push(`  ${mountCommand(name, fileSystem.mountOptions)}`)
  if (fileSystem?.hint !== undefined) lines.push(`  NOTE: ${fileSystem.hint}`)
  if (problem !== undefined) lines.push(`  PROBLEM: ${escapeName(problem.message)}${placeOf(problem)}`)
  return lines
}

/** The line that mounts a volume, for a shell. */
export function mountCommand(name: string, options: string | undefined): string {
  const file = /^[\w@%+=:,.~-]+$/.test(name) ? name : `'${name.replaceAll("'", `'\\''`)}'`
  return `mount -o loop,ro${options === undefined ? '' : `,${options}`} ${file} /mnt`
}

function placeOf({ fields }: PbsfsError): string {
  const { offset } = fields
  return typeof offset === 'number' ? ` (byte ${offset})` : ''
}
