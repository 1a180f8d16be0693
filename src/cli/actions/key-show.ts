import { escapeName } from '../../bytes/names.js'
import { UsageError } from '../../errors/errors.js'
import { describeKey } from '../../keys/describe-key.js'
import { MAX_KEY_FILE_SIZE } from '../../keys/key-file.js'
import type { CommandContext } from '../context.js'
import { printable } from '../describe-error.js'
import { EXIT } from '../exit-codes.js'
import { readSecretFile } from '../keys/read-secret.js'
import { argToBytes } from '../raw-args.js'
import { formatTable } from '../table.js'

export interface KeyShowArguments {
  readonly file: string
  readonly json: boolean
}

/** `pbsfs key show`: asks for no password and shows no secret. */
export async function keyShow(args: KeyShowArguments, { output }: CommandContext): Promise<number> {
  if (args.file === '') throw new UsageError('the key file is missing')
  const path = argToBytes(args.file)
  const name = escapeName(path)
  const { bytes, openMode } = readSecretFile(path, MAX_KEY_FILE_SIZE)
  const { kind, protection, fingerprint, created, modified, hint } = describeKey(bytes, name)
  bytes.fill(0)
  const facts = { path: name, kind, protection, fingerprint, created, modified, hint }
  if (args.json) {
    const known = Object.entries(facts).map(([key, value]) => [key, value ?? null])
    output.out(JSON.stringify(Object.fromEntries(known), null, 2) + '\n')
  } else {
    const rows = Object.entries(facts).flatMap(([key, value]) => (value === undefined ? [] : [[key, printable(value)]]))
    output.out(formatTable(rows))
  }
  const isSecret = protection !== undefined && protection !== 'master key'
  if (isSecret && openMode !== undefined) output.err(`pbsfs: ${name} can be read by others (mode ${openMode.toString(8).padStart(4, '0')})\n`)
  return EXIT.ok
}
