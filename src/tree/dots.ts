import type { DirSink, Entry, NodeId } from './tree.js'

const DOT = Buffer.from('.')
const DOT_DOT = Buffer.from('..')

/** Adds `.` and `..`, whose cookies are 1 and 2, as far as they lie behind `cookie`. False: the sink is full. */
export function emitDots(self: NodeId, parent: NodeId, cookie: number, entry: Entry, sink: DirSink): boolean {
  entry.idHi = 0
  entry.idLo = 0
  entry.attr.mode = 0o40000
  const dots: [Uint8Array, NodeId][] = [
    [DOT, self],
    [DOT_DOT, parent],
  ]
  for (const [i, [name, id]] of dots.entries()) {
    if (cookie > i) continue
    entry.attr.inoHi = id.hi
    entry.attr.inoLo = id.lo
    if (!sink.add(name, 0, name.length, i + 1, entry)) return false
  }
  return true
}
