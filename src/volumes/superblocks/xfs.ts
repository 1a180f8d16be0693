import { viewOf } from '../../bytes/le.js'
import { readUuid } from '../guid.js'
import { isDamage, readSpan, type Span } from '../span.js'
import { has, identity, isAt, labelAt, type FileSystem, type Probe } from './file-system.js'

/** XFS: superblock at 0, big-endian (XFS Algorithms & Data Structures, superblocks). */
const AT = { blockSize: 4, uuid: 32, logStart: 48, agBlocks: 84, logBlocks: 96, label: 108, agBlockLog: 124, end: 512 } as const

/** A basic block of the log, in bytes. */
const BB = 512
/** Each block of the log begins with its cycle; the header of a record with this, its cycle behind it. */
const RECORD_MAGIC = 0xfeedbabe
/** Header of a record, whose operations follow it: version, bytes of these, their number, size of a log buffer. */
const RECORD = { cycle: 4, version: 8, length: 12, operations: 40, bufferSize: 320 } as const
/** A header describes this much; of larger buffers it has more blocks. */
const HEADER_COVERS = 32 * 1024
const OPERATION_FLAGS_AT = 9
const UNMOUNT_RECORD = 0x20
/** A record has at most 256 KiB and a header of 32 KiB. */
const MAX_RECORD_BLOCKS = (256 + 32) * 2

export async function probeXfs(probe: Probe): Promise<FileSystem | undefined> {
  if (!has(probe, AT.end) || !isAt(probe, 0, 'XFSB')) return undefined
  const found = identity(labelAt(probe.head, AT.label, 12), readUuid(probe.head, AT.uuid))
  const dirty = await isLogDirty(probe)
  const base = { type: 'xfs', extension: 'xfs', mountable: true, ...found }
  if (!dirty) return { ...base, mountOptions: 'nouuid' }
  const hint = 'the log was not written back when the backup was made: mount it with norecovery,nouuid, the last changes are then missing'
  return { ...base, mountOptions: 'norecovery,nouuid', hint }
}

/** Does the log end with anything but the record of an unmount? A log that cannot be understood counts as dirty. */
async function isLogDirty({ span, view }: Probe): Promise<boolean> {
  const blockSize = view.getUint32(AT.blockSize)
  const agLog = view.getUint8(AT.agBlockLog)
  const block = view.getBigUint64(AT.logStart)
  // An external log lies on a device that is not here.
  if (block === 0n || agLog > 31 || blockSize < BB || blockSize > 65536) return true
  const group = Number(block >> BigInt(agLog))
  const inGroup = Number(block & ((1n << BigInt(agLog)) - 1n))
  const start = (group * view.getUint32(AT.agBlocks) + inGroup) * blockSize
  const length = view.getUint32(AT.logBlocks) * blockSize
  if (!(start + length <= span.size) || length < BB) return true
  try {
    return !(await endsWithUnmount({ stream: span.stream, start: span.start + start, size: length }))
  } catch (error) {
    if (!isDamage(error)) throw error
    return true
  }
}

async function endsWithUnmount(log: Span): Promise<boolean> {
  const blocks = Math.floor(log.size / BB)
  const head = await findHead(log, blocks)
  // The last record ends right before the head; it may begin at the end of the log.
  for (let back = 1; back <= Math.min(MAX_RECORD_BLOCKS, blocks); back++) {
    const at = (head - back + blocks) % blocks
    const record = await readBlock(log, at)
    if (record.getUint32(0) !== RECORD_MAGIC) continue
    const buffer = record.getUint32(RECORD.bufferSize)
    const headers = (record.getUint32(RECORD.version) & 2) !== 0 && buffer > HEADER_COVERS ? Math.ceil(buffer / HEADER_COVERS) : 1
    // An unmount is alone in its record, and nothing follows it.
    if (record.getUint32(RECORD.operations) !== 1 || headers + Math.ceil(record.getUint32(RECORD.length) / BB) !== back) return false
    const operation = await readBlock(log, (at + headers) % blocks)
    return (operation.getUint8(OPERATION_FLAGS_AT) & UNMOUNT_RECORD) !== 0
  }
  return false
}

/** The block that will be written next: where the cycle of the first block ends. */
async function findHead(log: Span, blocks: number): Promise<number> {
  const cycle = await cycleOf(log, 0)
  let low = 1
  let high = blocks
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((await cycleOf(log, middle)) === cycle) low = middle + 1
    else high = middle
  }
  return low % blocks
}

async function cycleOf(log: Span, block: number): Promise<number> {
  const view = await readBlock(log, block)
  return view.getUint32(0) === RECORD_MAGIC ? view.getUint32(RECORD.cycle) : view.getUint32(0)
}

async function readBlock(log: Span, block: number): Promise<DataView> {
  return viewOf(await readSpan(log, block * BB, BB))
}
