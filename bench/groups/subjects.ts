import { archiveSource, mountArgs, type Bench } from '../measure/bench.js'
import { baseParts } from '../params.js'
import { PLACES, type PartSpec } from '../writer/parts.js'

/** A tree as it is opened for one measurement. */
export interface OpenTree {
  /** Folder that holds the files. */
  readonly root: string
  readonly end: () => Promise<void>
}

/** One way to get at the same tree; every opening is fresh. */
export interface Subject {
  readonly name: string
  readonly parts: readonly PartSpec[]
  /** False: there is nothing to mount, and its files are in the page cache. */
  readonly isMount: boolean
  readonly mostRuns?: number
  open(): Promise<OpenTree>
}

/** The files themselves. */
export function plainSubject(bench: Bench, name: 'plain' | 'plain-wide' = 'plain'): Subject {
  return {
    name,
    parts: [baseParts(bench.params)[name]],
    isMount: false,
    open: () => Promise.resolve({ root: PLACES.plain(bench.folder, name), end: () => Promise.resolve() }),
  }
}

/** An archive mounted by the product. */
export function archiveSubject(bench: Bench, name: 'split' | 'classic' | 'wide'): Subject {
  return {
    name,
    parts: [baseParts(bench.params)[name]],
    isMount: true,
    open: async () => {
      const mount = await bench.mounts.product(archiveSource(bench, name), name, mountArgs(bench))
      return { root: mount.path, end: () => mount.end() }
    },
  }
}

/** The split archive in a session that answers OPEN. */
export function openSubject(bench: Bench): Subject {
  return {
    name: 'split-open',
    parts: [baseParts(bench.params).split],
    isMount: true,
    open: async () => {
      const { cacheBytes } = bench.params
      const setup = { kind: 'store', source: archiveSource(bench, 'split'), cacheBytes, noOpen: false }
      const mount = await bench.mounts.served(setup, 'split-open')
      return { root: mount.path, end: () => mount.end() }
    },
  }
}

/** The folder of the image's snapshot; the image is a file in it. */
export function imageSubject(bench: Bench, name: 'image' | 'encrypted' = 'image'): Subject {
  return {
    name,
    parts: [baseParts(bench.params)[name]],
    isMount: true,
    open: async () => {
      const source = `${PLACES.store(bench.folder)}::vm/${name}/latest`
      const keys = name === 'image' ? [] : ['--keyfile', PLACES.key(bench.folder)]
      const mount = await bench.mounts.product(source, name, [...mountArgs(bench), ...keys])
      return { root: mount.path, end: () => mount.end() }
    },
  }
}
