import { existsSync, readdirSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { bytesOfKey, keyOf } from '../../bytes/names.js'
import { readDatastoreConfig } from '../../source/datastore-config.js'
import { openLocalDatastore, type LocalDatastore } from '../../source/local-datastore.js'
import { BACKUP_TYPES, CHUNK_FOLDER, isBackupType } from '../../source/names.js'
import { groupPath } from '../../source/store-folders.js'

/** Names of the stores this host has in its configuration; none when it cannot be read. */
export function listStoreNames(): string[] {
  try {
    return readDatastoreConfig().map(({ name }) => name)
  } catch {
    return []
  }
}

/** Where a store is: a path, or the name of a configured one. undefined: there is none. */
export function findStore(text: string): string | undefined {
  const path = expandTilde(text)
  if (isStore(path)) return path
  try {
    return readDatastoreConfig().find(({ name }) => name === text)?.path
  } catch {
    return undefined
  }
}

/** Folders, stores (with `::` behind them) and archive files that continue a path. */
export function listPaths(typed: string): string[] {
  const cut = typed.lastIndexOf('/') + 1
  const folder = cut === 0 ? '.' : expandTilde(typed.slice(0, cut))
  const start = typed.slice(cut)
  let entries
  try {
    entries = readdirSync(folder, { withFileTypes: true })
  } catch {
    return []
  }
  return entries
    .filter(({ name }) => name.startsWith(start) && (start !== '' || !name.startsWith('.')))
    .flatMap((entry) => {
      const path = `${folder}/${entry.name}`
      const isFolder = entry.isDirectory() || (entry.isSymbolicLink() && isDirectory(path))
      if (isFolder) return [typed.slice(0, cut) + entry.name + (isStore(path) ? '::' : '/')]
      return /\.(?:pxar|mpxar|fidx|didx)$/.test(entry.name) ? [typed.slice(0, cut) + entry.name] : []
    })
}

/** What continues a selector up to the names of archives, from the folders of the store alone. */
export async function listSelectors(path: string, selector: string): Promise<string[]> {
  const cut = selector.lastIndexOf('/') + 1
  const parents = selector.slice(0, cut).split('/').filter((name) => name !== '')
  try {
    const names = await listBelow(openLocalDatastore(path), path, parents)
    return names.filter((name) => name.startsWith(selector.slice(cut))).map((name) => selector.slice(0, cut) + name)
  } catch {
    return []
  }
}

async function listBelow(store: LocalDatastore, path: string, parents: readonly string[]): Promise<string[]> {
  const ns: string[] = []
  let at = 0
  for (; parents[at] === 'ns'; at += 2) {
    const name = parents[at + 1]
    if (name === undefined) return (await store.listNamespaces(ns)).entries.map((child) => `${child}/`)
    ns.push(name)
  }
  const [type, id, time, ...more] = parents.slice(at)
  if (type === undefined) {
    const types = new Set((await store.listGroups(ns)).entries.map((group) => group.type))
    const below = (await store.listNamespaces(ns)).entries.length > 0 ? ['ns/'] : []
    return [...BACKUP_TYPES.filter((known) => types.has(known)).map((known) => `${known}/`), ...below]
  }
  if (!isBackupType(type) || more.length > 0) return []
  if (id === undefined) return (await store.listGroups(ns)).entries.filter((group) => group.type === type).map((group) => `${group.id}/`)
  const group = { ns, type, id }
  const { entries } = await store.listSnapshots(group)
  if (time === undefined) return entries.length === 0 ? [] : ['latest/', ...entries.map((snapshot) => `${snapshot.time}/`)]
  const chosen = time === 'latest' ? entries.at(-1)?.time : time
  return chosen === undefined ? [] : listArchives(`${path}/${groupPath(group)}/${chosen}`)
}

/** As the mount shows them. */
function listArchives(folder: string): string[] {
  const files = readdirSync(folder).filter((name) => /\.(?:fidx|didx|blob)$/.test(name) && !name.startsWith('index.json') && !name.startsWith('catalog.pcat1'))
  return [...new Set(files.map((name) => name.replace(/\.(?:fidx|didx|blob)$/, '').replace(/\.[mp]pxar$/, '.pxar')))].sort()
}

function isStore(path: string): boolean {
  return existsSync(bytesOfKey(`${keyOf(Buffer.from(path))}/${CHUNK_FOLDER}`))
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}

function expandTilde(path: string): string {
  return path === '~' || path.startsWith('~/') ? homedir() + path.slice(1) : path
}
