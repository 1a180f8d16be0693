import type { CryptMode, Manifest, ManifestFile } from './manifest.js'

export type ArchiveKind =
  /** A file tree in one stream. */
  | 'pxar'
  /** A file tree in two streams: `files` is [metadata, payload]. */
  | 'split-pxar'
  /** A disk image. */
  | 'image'
  /** A small file in one blob. */
  | 'blob'
  | 'catalog'
  /** One half of a split archive whose other half is not in the manifest. */
  | 'lone-meta'
  | 'lone-payload'
  /** An index with a name no known client gives: its bytes as a file. */
  | 'stream'

/** What a snapshot holds, as a person sees it. */
export interface Archive {
  /** `root.pxar`, `drive-scsi0.img`, `qemu-server.conf`; unique in its snapshot. */
  readonly name: string
  readonly kind: ArchiveKind
  readonly files: readonly ManifestFile[]
  /** Sum of the sizes in the manifest: bytes of the streams, for blobs of the encoded file. */
  readonly size: number
  readonly cryptMode: CryptMode
}

interface Named {
  readonly name: string
  readonly kind: ArchiveKind
  readonly files: readonly ManifestFile[]
}

/** Who keeps a name that two archives could have. */
const PRECEDENCE: readonly ArchiveKind[] = ['pxar', 'split-pxar', 'image', 'catalog', 'stream', 'blob', 'lone-meta', 'lone-payload']

/**
 * The archives of a snapshot in the order of their shown names. A split archive is shown as
 * `NAME.pxar` like a classic one; where both exist the classic one has that name and the pair is
 * shown as `NAME.mpxar`. Any other clash of shown names leaves the lower one its full file name.
 */
export function archivesOf(manifest: Pick<Manifest, 'files'>): Archive[] {
  const byName = new Map(manifest.files.map((file) => [file.filename, file]))
  const found: Named[] = []
  for (const file of manifest.files) {
    const named = nameFile(file, byName)
    if (named !== undefined) found.push(named)
  }
  found.sort((a, b) => PRECEDENCE.indexOf(a.kind) - PRECEDENCE.indexOf(b.kind) || compare(fileOf(a), fileOf(b)))
  const taken = new Set<string>()
  const archives = found.map(({ name, kind, files }) => {
    const free = freeName(taken, name, fileOf({ files }))
    taken.add(free)
    return { name: free, kind, files, size: files.reduce((sum, file) => sum + file.size, 0), cryptMode: strictest(files) }
  })
  return archives.sort((a, b) => compare(a.name, b.name))
}

function nameFile(file: ManifestFile, all: ReadonlyMap<string, ManifestFile>): Named | undefined {
  const { filename } = file
  const shown = filename.slice(0, filename.lastIndexOf('.'))
  if (filename.endsWith('.blob')) return { name: shown, kind: 'blob', files: [file] }
  if (filename.endsWith('.pxar.didx')) return { name: shown, kind: 'pxar', files: [file] }
  if (filename.endsWith('.pcat1.didx')) return { name: shown, kind: 'catalog', files: [file] }
  if (filename.endsWith('.mpxar.didx')) {
    const base = filename.slice(0, -'.mpxar.didx'.length)
    const payload = all.get(`${base}.ppxar.didx`)
    if (payload === undefined) return { name: shown, kind: 'lone-meta', files: [file] }
    const clash = all.has(`${base}.pxar.didx`)
    return { name: clash ? shown : `${base}.pxar`, kind: 'split-pxar', files: [file, payload] }
  }
  if (filename.endsWith('.ppxar.didx')) {
    if (all.has(`${filename.slice(0, -'.ppxar.didx'.length)}.mpxar.didx`)) return undefined
    return { name: shown, kind: 'lone-payload', files: [file] }
  }
  if (/\.[mp]?pxar\.fidx$/.test(filename)) return { name: filename, kind: 'stream', files: [file] }
  if (filename.endsWith('.img.didx') || filename.endsWith('.fidx')) return { name: shown, kind: 'image', files: [file] }
  return { name: shown, kind: 'stream', files: [file] }
}

function freeName(taken: ReadonlySet<string>, name: string, filename: string): string {
  if (!taken.has(name)) return name
  let free = filename
  for (let i = 2; taken.has(free); i++) free = `${filename}.${i}`
  return free
}

function fileOf(named: Pick<Named, 'files'>): string {
  return named.files[0]!.filename
}

function strictest(files: readonly ManifestFile[]): CryptMode {
  if (files.some((file) => file.cryptMode === 'encrypt')) return 'encrypt'
  return files.some((file) => file.cryptMode === 'sign-only') ? 'sign-only' : 'none'
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/**
 * The archive a user means: its shown name, the name of one of its files, or that without the
 * index extension (`root.pxar`, `root.mpxar`, `root.pxar.didx`); either half means the pair.
 */
export function findArchive(archives: readonly Archive[], wanted: string): Archive | undefined {
  const shown = archives.find((archive) => archive.name === wanted)
  if (shown !== undefined) return shown
  const byFile = archives.find((archive) =>
    archive.files.some(({ filename }) => filename === wanted || filename.slice(0, filename.lastIndexOf('.')) === wanted),
  )
  if (byFile !== undefined || !wanted.endsWith('.pxar.didx')) return byFile
  return archives.find((archive) => archive.kind === 'split-pxar' && archive.name === wanted.slice(0, -'.didx'.length))
}
