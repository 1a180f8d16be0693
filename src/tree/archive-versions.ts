import { createHash } from 'node:crypto'
import { archivesOf, type Archive } from '../source/archives.js'
import type { Manifest } from '../source/manifest.js'

/** Behind the name of an image: the folder of its partitions and volumes. */
export const PARTS_SUFFIX = '.parts'

/** What tells an archive from another one of its name: the checksums of its indices. */
export function versionOf(archive: Archive): string {
  return archive.files.map((file) => file.csum).join('')
}

/** The same for the folders of volumes, which may span all images of a snapshot. */
export function versionOfImages(archives: readonly Archive[]): string {
  const images = archives.filter(isImage)
  return createHash('sha256').update(images.map(versionOf).join()).digest('hex')
}

export function isImage(archive: Archive): boolean {
  return archive.kind === 'image'
}

/** A name in a snapshot and which contents it stands for. */
export function identityOf(name: string, version: string): string {
  return `${name}\0${version}`
}

/** What a snapshot with this manifest shows. */
export function identitiesIn(manifest: Manifest): ReadonlySet<string> {
  const archives = archivesOf(manifest)
  const images = versionOfImages(archives)
  return new Set([
    ...archives.map((archive) => identityOf(archive.name, versionOf(archive))),
    ...archives.filter(isImage).map(({ name }) => identityOf(name + PARTS_SUFFIX, images)),
  ])
}
