import type { PartSpec } from './writer/parts.js'
import type { TreePlan } from './writer/tree-plan.js'

const MiB = 1024 * 1024
const GiB = 1024 * MiB

/** How much of everything a run makes and measures. */
export interface Params {
  readonly tree: TreePlan
  /** The same number of files in fewer, larger folders. */
  readonly wide: TreePlan
  readonly imageBytes: number
  readonly snapshots: number
  /** Random reads of one run. */
  readonly randomReads: number
  /** Small files of the archives that growth is measured with, ascending. */
  readonly growth: readonly number[]
  readonly runs: number
  readonly cacheBytes: number
}

const SMALL = { smallest: 200, largest: 16_000 }

export const FULL: Params = {
  tree: { bigBytes: 2 * GiB, folders: 600, filesPerFolder: 100, ...SMALL },
  wide: { bigBytes: 0, folders: 60, filesPerFolder: 1000, ...SMALL },
  imageBytes: 2 * GiB,
  snapshots: 10_000,
  randomReads: 250,
  growth: [1_000, 100_000, 1_000_000],
  runs: 4,
  cacheBytes: 256 * MiB,
}

/** Seconds of everything: shows that the benchmark works, not how fast anything is. */
export const TINY: Params = {
  tree: { bigBytes: 24 * MiB, folders: 6, filesPerFolder: 20, ...SMALL },
  wide: { bigBytes: 0, folders: 2, filesPerFolder: 60, ...SMALL },
  imageBytes: 16 * MiB,
  snapshots: 20,
  randomReads: 20,
  growth: [100, 200, 400],
  runs: 1,
  cacheBytes: 64 * MiB,
}

/** Files of one folder of an archive that growth is measured with. */
const GROWTH_FOLDER = 100

export function growthPart(files: number): PartSpec {
  return { kind: 'split', name: `grow-${files}`, tree: growthTree(files / GROWTH_FOLDER, GROWTH_FOLDER) }
}

/** All files in one folder. */
export function flatPart(files: number): PartSpec {
  return { kind: 'split', name: `flat-${files}`, tree: growthTree(1, files) }
}

function growthTree(folders: number, filesPerFolder: number): TreePlan {
  return { bigBytes: 0, folders, filesPerFolder, smallest: 16, largest: 32 }
}

export function baseParts(params: Params): Record<'split' | 'classic' | 'wide' | 'plain' | 'plain-wide' | 'image' | 'encrypted' | 'many', PartSpec> {
  const { tree, wide } = params
  return {
    split: { kind: 'split', name: 'split', tree },
    classic: { kind: 'classic', name: 'classic', tree },
    wide: { kind: 'split', name: 'wide', tree: wide },
    plain: { kind: 'plain', name: 'plain', tree },
    'plain-wide': { kind: 'plain', name: 'plain-wide', tree: wide },
    image: { kind: 'image', name: 'image', bytes: params.imageBytes },
    encrypted: { kind: 'encrypted', name: 'encrypted', bytes: params.imageBytes },
    many: { kind: 'many', name: 'many', snapshots: params.snapshots },
  }
}
