/* Lists folders and stats what is in them, one folder after the other; prints the median time of one. */
import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

export interface ListFoldersSetup {
  readonly root: string
  readonly folders: readonly string[]
}

const setup = JSON.parse(process.argv[2]!) as ListFoldersSetup
const times = setup.folders.map((folder) => {
  const began = performance.now()
  const path = join(setup.root, folder)
  for (const name of readdirSync(path)) lstatSync(join(path, name))
  return (performance.now() - began) / 1000
})
times.sort((a, b) => a - b)
process.stdout.write(JSON.stringify({ seconds: times[Math.floor(times.length / 2)] }))
