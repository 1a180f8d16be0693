import { viewOf } from '../../bytes/le.js'
import { readUpTo, type Span } from '../span.js'
import { HEAD_BYTES, type FileSystem, type Probe, type Prober } from './file-system.js'
import { probeBtrfs, probeErofs, probeExt, probeSquashfs, probeSwap } from './linux.js'
import { probeIso, probeLuks, probeLvm, probeMd, probeMdAtEnd, probeZfs } from './members.js'
import { probeBitlocker, probeExfat, probeFat, probeNtfs } from './microsoft.js'
import { probeXfs } from './xfs.js'

/** Those that lie in sector 0 come first: what is there cannot be left over from before. */
const IN_BOOT_SECTOR: readonly Prober[] = [probeLuks, probeBitlocker, probeExfat, probeNtfs, probeFat]
const ELSEWHERE: readonly Prober[] = [
  probeXfs, probeSquashfs, probeLvm, probeMd, probeExt, probeErofs, probeBtrfs, probeSwap, probeIso, probeZfs, probeMdAtEnd,
] // prettier-ignore

/** What a span holds, by well-known superblocks; undefined: nothing known. Rejects when it cannot be read. */
export async function probeFileSystem(span: Span): Promise<FileSystem | undefined> {
  return findFirst(await readProbe(span), [...IN_BOOT_SECTOR, ...ELSEWHERE])
}

/** The same, as far as the boot sector tells: what is found excludes a partition table there. */
export async function probeBootSector(span: Span): Promise<FileSystem | undefined> {
  return findFirst(await readProbe(span), IN_BOOT_SECTOR)
}

async function readProbe(span: Span): Promise<Probe> {
  const head = await readUpTo(span, 0, HEAD_BYTES)
  return { span, head, view: viewOf(head) }
}

async function findFirst(probe: Probe, probers: readonly Prober[]): Promise<FileSystem | undefined> {
  for (const prober of probers) {
    const found = await prober(probe)
    if (found !== undefined) return found
  }
  return undefined
}
