import type { Figure } from '../measure/figures.js'
import type { Params } from '../params.js'

/** A promise of the product about a figure, measured by others of the same run. */
export interface Target {
  readonly work: string
  /** The row that is judged. */
  readonly row: string
  /** Rows it is compared with. */
  readonly against: readonly string[]
  /** `most`: the ratio must not be above the bound; `least`: not below. */
  readonly kind: 'most' | 'least'
  readonly bound: number
  /** How far one would like to get. */
  readonly beyond?: number
  /** From medians, `of` the row first, then `against` in order. */
  readonly ratio: (of: number, against: readonly number[]) => number
}

export interface Judged {
  readonly work: string
  readonly row: string
  readonly against: readonly string[]
  readonly ratio: number
  readonly kind: 'most' | 'least'
  readonly bound: number
  readonly beyond?: number
  readonly isMet: boolean
}

const quotient = (of: number, against: readonly number[]): number => of / against[0]!

/** What remains of two limits that work must pass one behind the other. */
function ofBothLimits(of: number, [decode, transport]: readonly number[]): number {
  return of / (1 / (1 / decode! + 1 / transport!))
}

const MiB = 1024 * 1024
/** Memory a mount may take beside its cache. */
const MEMORY_BESIDE_CACHE_MIB = 150

export function targetsOf({ growth, cacheBytes, tree }: Params): Target[] {
  const files = tree.folders * tree.filesPerFolder
  const [small, , large] = growth
  const sequential = ['split', 'classic', 'image', 'encrypted'].flatMap((name): Target[] => [
    {
      work: `sequential read, cold (${name}), of both limits`, row: `seq/${name}/cold`,
      against: [`seq/decode-${name}`, 'seq/transport'], kind: 'least', bound: 0.95, ratio: ofBothLimits,
    },
    {
      work: `sequential read, cold (${name}), of the decode limit`, row: `seq/${name}/cold`,
      against: [`seq/decode-${name}`], kind: 'least', bound: 0.85, beyond: 1, ratio: quotient,
    },
    {
      work: `sequential read, again (${name})`, row: `seq/${name}/again`,
      against: ['seq/plain'], kind: 'least', bound: 0.8, ratio: quotient,
    },
  ]) // prettier-ignore
  const trees = ([['split', 'plain'], ['classic', 'plain'], ['wide', 'plain-wide']] as const).flatMap(([name, plain]): Target[] => [
    {
      work: `find + stat of ${files} files, cold (${name})`, row: `find/${name}/cold`,
      against: [`find/${plain}`], kind: 'most', bound: 3, beyond: 2.4, ratio: quotient,
    },
    {
      work: `find + stat of ${files} files, again (${name})`, row: `find/${name}/again`,
      against: [`find/${plain}`], kind: 'most', bound: 1.2, ratio: quotient,
    },
    {
      work: `tar of the small files, cold (${name})`, row: `tar/${name}/cold`,
      against: [`tar/${plain}`], kind: 'most', bound: 3.3, beyond: 2.5, ratio: quotient,
    },
  ]) // prettier-ignore
  return [
    ...sequential,
    {
      work: 'sequential read over NBD, cold, of the decode limit', row: 'seq/nbd/cold',
      against: ['seq/decode-image'], kind: 'least', bound: 0.85, beyond: 1, ratio: quotient,
    },
    {
      work: 'sequential read over NBD, cold, of the mount', row: 'seq/nbd/cold',
      against: ['seq/image/cold'], kind: 'least', bound: 0.95, ratio: quotient,
    },
    ...trees,
    {
      work: 'tar of the small files, cold, OPEN answered', row: 'tar/split-open/cold',
      against: ['tar/plain'], kind: 'most', bound: 5, ratio: quotient,
    },
    ...['split', 'classic'].map((name): Target => ({
      work: `cp -a of the small files to memory, cold (${name})`, row: `cp/${name}/cold`,
      against: ['cp/plain'], kind: 'most', bound: 2, beyond: 1.5, ratio: quotient,
    })),
    ...['split', 'classic'].map((name): Target => ({
      work: `restore of all files to memory (${name}), of cp -a`, row: `restore/${name}`,
      against: ['restore/plain'], kind: 'most', bound: 3, beyond: 2, ratio: quotient,
    })),
    ...['split', 'classic', 'image'].map((name): Target => ({
      work: `random 4 KiB reads, cold (${name})`, row: `random/${name}/cold`,
      against: [`random/decode-${name}`], kind: 'most', bound: 1.2, ratio: quotient,
    })),
    {
      work: 'four readers at once, of one', row: 'parallel/four',
      against: ['parallel/one'], kind: 'least', bound: 1, ratio: quotient,
    },
    { work: 'stat meanwhile, 99th percentile, ms', row: 'parallel/stat-p99', against: [], kind: 'most', bound: 5, ratio: (of) => of },
    { work: 'mount to first answer, s', row: 'start/archive', against: [], kind: 'most', bound: 0.3, ratio: (of) => of },
    { work: 'the same, store of many snapshots, s', row: 'start/many', against: [], kind: 'most', bound: 0.5, ratio: (of) => of },
    { work: 'names of many snapshots, s', row: 'start/many-names', against: [], kind: 'most', bound: 0.3, ratio: (of) => of },
    {
      work: 'resident memory through all work, MiB', row: 'memory/peak', against: [], kind: 'most',
      bound: cacheBytes / MiB + MEMORY_BESIDE_CACHE_MIB, ratio: (of) => of,
    },
    {
      work: `a folder of an archive of ${large} files, of one of ${small}`, row: `growth/folder-of-${large}`,
      against: [`growth/folder-of-${small}`], kind: 'most', bound: 1.5, ratio: quotient,
    },
    {
      work: `time for each name, folder of ${large}, of one of ${growth[1]}`, row: `growth/list-${large}`,
      against: [`growth/list-${growth[1]}`], kind: 'most', bound: 1.5,
      ratio: (of, [less]) => of / large! / (less! / growth[1]!),
    },
    {
      work: `memory left when ${large} files are forgotten, of before`, row: 'growth/memory-forgotten',
      against: ['growth/memory-before'], kind: 'most', bound: 1.25, ratio: quotient,
    },
  ] // prettier-ignore
}

/** The targets whose rows were all measured. */
export function judge(targets: readonly Target[], figures: ReadonlyMap<string, Figure>): Judged[] {
  return targets.flatMap(({ work, row, against, kind, bound, beyond, ratio: ratioOf }) => {
    const of = figures.get(row)
    const others = against.map((id) => figures.get(id))
    if (of === undefined || others.includes(undefined)) return []
    const ratio = ratioOf(of.median, others.map((figure) => figure!.median))
    const isMet = kind === 'most' ? ratio <= bound : ratio >= bound
    return [{ work, row, against, ratio, kind, bound, ...(beyond === undefined ? {} : { beyond }), isMet }]
  })
}
