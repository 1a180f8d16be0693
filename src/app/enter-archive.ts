import { escapeName, keyOf } from '../bytes/names.js'
import { SourceError } from '../errors/errors.js'
import { ArchiveRoot, type ArchiveOpener } from '../tree/archive-root.js'
import { offsetOf } from '../tree/node-id.js'
import { SingleDir } from '../tree/single-dir.js'
import type { StoreContext } from '../tree/store-context.js'
import { FOREVER, ROOT, type Entry } from '../tree/tree.js'
import type { VirtualNode } from '../tree/virtual-node.js'

const S_IFMT = 0o170000
const S_IFDIR = 0o040000

/** An archive, or a path inside it, as the root. Opens the archive: what is wrong with it shows now. */
export async function enterArchive(
  opener: ArchiveOpener,
  inside: Buffer | undefined,
  context: Pick<StoreContext, 'owner'>,
  name: string,
): Promise<VirtualNode> {
  const archive = await opener.open()
  archive.warm()
  // The mount lives as long as its archive is open.
  archive.references++
  if (inside === undefined) return new ArchiveRoot(ROOT, undefined, '', context.owner, opener, { entryTtl: FOREVER })
  let dirEnd = archive.pxar.rootEnd
  let entry: Entry | undefined
  const names = keyOf(inside).split('/')
  for (const [i, part] of names.entries()) {
    const found = await archive.lookup(dirEnd, Buffer.from(part, 'latin1'))
    const shown = `${name}:${escapeName(Buffer.from(names.slice(0, i + 1).join('/'), 'latin1'))}`
    if (found === undefined) throw new SourceError(`${shown}: no such file or directory`, { path: shown, code: 'ENOENT' })
    entry = found
    if ((found.attr.mode & S_IFMT) === S_IFDIR) dirEnd = offsetOf({ hi: found.idHi, lo: found.idLo })
    else if (i < names.length - 1) throw new SourceError(`${shown}: not a directory`, { path: shown, code: 'ENOTDIR' })
  }
  if ((entry!.attr.mode & S_IFMT) === S_IFDIR) {
    return new ArchiveRoot(ROOT, undefined, '', context.owner, opener, { dirEnd, entryTtl: FOREVER })
  }
  const last = Buffer.from(names.at(-1)!, 'latin1')
  const parentEnd = dirEnd
  return new SingleDir(ROOT, context.owner, last, async () => archive.lookup(parentEnd, last))
}
