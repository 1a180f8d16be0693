import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const repo = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

/** Data written by the real server, kept beside the repository (too large to carry); undefined when absent. */
export function goldenDir(): string | undefined {
  const dir = process.env['PBSFS_GOLDEN'] ?? resolve(repo, '../shared/golden')
  return existsSync(join(dir, 'store/.chunks')) ? dir : undefined
}

/** The small datastore the repository carries. */
export const exampleStore = join(repo, 'examples/datastore')

export const repoDir = repo
