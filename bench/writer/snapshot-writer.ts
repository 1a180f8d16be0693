import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encodeBlob } from './chunk-store.js'
import type { BackupKey } from './cipher.js'

export interface SnapshotPlace {
  readonly type: 'host' | 'vm' | 'ct'
  readonly id: string
  /** Unix seconds. */
  readonly time: number
}

/** One file of a snapshot: an index or a blob, and what the manifest says of it. */
export interface SnapshotFile {
  readonly name: string
  readonly bytes: Buffer
  readonly size: number
  readonly csum: string
}

export function snapshotName(time: number): string {
  return new Date(time * 1000).toISOString().replace('.000Z', 'Z')
}

/** Writes a finished snapshot, encrypted and signed if there is a key; its folder. */
export function writeSnapshot(store: string, place: SnapshotPlace, files: readonly SnapshotFile[], key?: BackupKey): string {
  const group = join(store, place.type, place.id)
  const folder = join(group, snapshotName(place.time))
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(group, 'owner'), 'root@pam\n')
  for (const file of files) writeFileSync(join(folder, file.name), file.bytes)
  const signed = {
    'backup-id': place.id,
    'backup-time': place.time,
    'backup-type': place.type,
    files: files.map(({ name, size, csum }) => ({ 'crypt-mode': key === undefined ? 'none' : 'encrypt', csum, filename: name, size })),
  }
  const manifest = { ...signed, signature: key?.sign(signed) ?? null, unprotected: {} }
  const blob = Buffer.concat(encodeBlob(Buffer.from(JSON.stringify(manifest, null, 2))))
  writeFileSync(join(folder, 'index.json.blob'), blob)
  return folder
}
