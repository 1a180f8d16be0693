import { parseArgs } from 'node:util'
import { FULL, TINY, type Params } from './params.js'

const MiB = 1024 * 1024

/** Less than ten minutes: what has begun is finished. */
const BUDGET_SECONDS = 540

export const HELP = `npm run bench -- [options]

  --filter REGEX   measure only rows whose name matches (find/split/cold, seq/transport ...)
  --runs N         runs of each figure (default ${FULL.runs}, fewer when that would take more than ten minutes)
  --big MIB        size of the big file and of the image (default ${FULL.tree.bigBytes / MiB})
  --json FILE      write every figure and ratio
  --compare FILE   compare with such a file
  --doc FILE       put the tables into a document, between its marks (docs/performance.md)
  --data FOLDER    where the data are written (default: the folder for temporary files)
  --keep           leave the data for the next run
  --vendor REPO    also measure proxmox-backup-client: it backs the tree up to this repository,
                   group host/pbsfs-bench, which is forgotten in the end
  --tiny           little of everything: does it work?
  --list           print the names of the rows
`

export interface BenchOptions {
  readonly params: Params
  /** Seconds that a whole run may take; a number of runs that was asked for counts more. */
  readonly budgetSeconds: number
  readonly filter: RegExp
  readonly json: string | undefined
  readonly compare: string | undefined
  readonly doc: string | undefined
  readonly data: string | undefined
  readonly vendor: string | undefined
  readonly keep: boolean
  readonly list: boolean
}

/** Reads the command line; undefined: help was asked for. Throws on what it does not know. */
export function readOptions(args: readonly string[]): BenchOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      filter: { type: 'string', default: '' },
      runs: { type: 'string' },
      big: { type: 'string' },
      json: { type: 'string' },
      compare: { type: 'string' },
      doc: { type: 'string' },
      data: { type: 'string' },
      vendor: { type: 'string' },
      keep: { type: 'boolean', default: false },
      tiny: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return undefined
  const base = values.tiny ? TINY : FULL
  const bigBytes = values.big === undefined ? undefined : wholeNumber(values.big, '--big') * MiB
  const params: Params = {
    ...base,
    tree: { ...base.tree, bigBytes: bigBytes ?? base.tree.bigBytes },
    imageBytes: bigBytes ?? base.imageBytes,
    runs: values.runs === undefined ? base.runs : wholeNumber(values.runs, '--runs'),
  }
  const { json, compare, doc, data, vendor, keep, list } = values
  const budgetSeconds = values.runs === undefined ? BUDGET_SECONDS : Infinity
  return { params, budgetSeconds, filter: new RegExp(values.filter), json, compare, doc, data, vendor, keep, list }
}

function wholeNumber(text: string, option: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`${option} needs a whole number`)
  return value
}
