import type { PxarArchive } from '#src/pxar-decode/archive.js'
import type { DirTable } from '#src/pxar-decode/dir-table.js'
import {
  FLAG_LINKED_NAME, KIND_DIR, KIND_FILE, KIND_SYMLINK, createRecord, type EntryRecord,
} from '#src/pxar-decode/entry-record.js' // prettier-ignore

/** Everything an archive tells about one entry; plain data, to compare. */
export interface Seen {
  path: string
  record: EntryRecord
  linked: boolean
  content?: Buffer
  target?: Buffer
  xattrs: [string, string][]
}

/** Walks a whole archive through its public interface. Paths are latin1. */
export async function walkArchive(archive: PxarArchive, onTable?: (table: DirTable, path: string) => void): Promise<Seen[]> {
  const all: Seen[] = [await see(archive, '', { ...archive.root })]
  const pending: { path: string; end: number; entryOfs: number }[] = [{ path: '', end: archive.rootEnd, entryOfs: archive.rootEntryOfs }]
  while (pending.length > 0) {
    const { path, end, entryOfs } = pending.pop()!
    const table = await archive.openDir(end, entryOfs)
    onTable?.(table, path)
    for (let i = 0; i < table.count; i++) {
      const record = createRecord()
      table.entryAt(i, record)
      const name = table.nameAt(i)
      if (table.find(name) !== i) throw new Error(`find(${Buffer.from(name).toString('latin1')}) is not ${i}`)
      const full = `${path}/${Buffer.from(name).toString('latin1')}`
      all.push(await see(archive, full, record))
      if (record.kind === KIND_DIR) pending.push({ path: full, end: record.end, entryOfs: record.entryOfs })
    }
  }
  return all.sort((a, b) => (a.path < b.path ? -1 : 1))
}

async function see(archive: PxarArchive, path: string, record: EntryRecord): Promise<Seen> {
  const xattrs = (await archive.attributes(record)).map(({ name, value }): [string, string] => [
    Buffer.from(name).toString('latin1'),
    Buffer.from(value).toString('hex'),
  ])
  const seen: Seen = { path, record, linked: (record.flags & FLAG_LINKED_NAME) !== 0, xattrs }
  if (record.kind === KIND_FILE) {
    const { stream, start, size } = await archive.contentOf(record)
    seen.content = Buffer.from(await stream.read(start, size))
  }
  if (record.kind === KIND_SYMLINK) seen.target = Buffer.from(await archive.readLink(record))
  return seen
}
