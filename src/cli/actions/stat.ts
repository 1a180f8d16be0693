import { isSymlink } from '../../browse/tree-view.js'
import { escapeName } from '../../bytes/names.js'
import type { CommandContext } from '../context.js'
import { entryDocument, formatMode, formatTime, kindName } from '../format-entry.js'
import { problemDocuments } from '../json-errors.js'
import { findTarget, withSource } from '../open-source.js'
import type { StoreArguments } from '../store-options.js'
import { formatTable } from '../table.js'

export interface StatArguments extends StoreArguments {
  readonly path: string | undefined
  readonly utc: boolean
  readonly json: boolean
}

const STAT_VERSION = 1

/** Longest value of an attribute that is shown as text. */
const MAX_TEXT = 256

/** `pbsfs stat`: everything the backup says of one entry. */
export async function stat(args: StatArguments, context: CommandContext): Promise<number> {
  return withSource(args, context, async (source) => {
    const { view } = source
    const found = await findTarget(source, args.path)
    const target = isSymlink(found) ? await view.readlink(found) : undefined
    const xattrs = await view.xattrs(found)
    const { attr } = found
    const name = found.name.length === 0 ? Buffer.from('.') : found.name
    if (args.json) {
      const values = xattrs.map(([key, value]) => ({ name: escapeName(key), hex: Buffer.from(value).toString('hex') }))
      const document = { version: STAT_VERSION, ...entryDocument(name, attr, target), blocks: attr.blocks, xattrs: values, problems: problemDocuments(source) }
      context.output.out(JSON.stringify(document, null, 2) + '\n')
      return source.exitCode()
    }
    const rows = [
      ['name', escapeName(name)],
      ['type', kindName(attr.mode)],
      ...(target === undefined ? [] : [['target', escapeName(target)]]),
      ['mode', `${(attr.mode & 0o7777).toString(8).padStart(4, '0')} (${formatMode(attr.mode)})`],
      ['owner', `uid ${attr.uid}, gid ${attr.gid}`],
      ['size', `${attr.size} bytes, ${attr.blocks} blocks of 512`],
      ['modified', `${formatTime(attr.mtimeSec, args.utc)} and ${attr.mtimeNsec} ns`],
      ['links', String(attr.nlink)],
      ...(['char', 'block'].includes(kindName(attr.mode)) ? [['device', `${attr.major}, ${attr.minor}`]] : []),
      ...xattrs.map(([key, value]) => [escapeName(key), showValue(value)]),
    ]
    context.output.out(formatTable(rows))
    return source.exitCode()
  })
}

function showValue(value: Uint8Array): string {
  const text = Buffer.from(value).toString('utf8')
  const isText = value.length <= MAX_TEXT && Buffer.from(text).equals(value) && !/[\0-\x08\x0e-\x1f]/.test(text)
  return isText ? escapeName(value) : `${value.length} bytes: ${Buffer.from(value.subarray(0, MAX_TEXT / 4)).toString('hex')}${value.length > MAX_TEXT / 4 ? '...' : ''}`
}
