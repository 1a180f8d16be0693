import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { FolderOverlays, makeFolder } from '#src/app/image-overlays.js'
import { BusyError, FormatError, UsageError } from '#src/errors/errors.js'
import { dropOverlay } from '#src/overlay/drop-overlay.js'
import { BOOT_ID_AT } from '#src/overlay/map-header.js'
import { openOverlay } from '#src/overlay/open-overlay.js'
import { findOverlays, inspectOverlay } from '#src/overlay/overlay-status.js'
import { isPartOfOverlay, openOverlayReader, overlayPathOf } from '#src/overlay/read-overlay.js'
import { noise } from '../support/chunk-rig.js'
import { MemoryStream } from '../support/memory-stream.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const BLOCK = 65_536
const SIZE = 5 * BLOCK + 100
const image = { size: SIZE, identity: 'abc', image: 'vm/100/2026-01-01T00:00:00Z/drive.img' }
const content = noise(SIZE, 1)
const backup = () => new MemoryStream(content, { peeks: false })
const folder = temporaryFolder()
let number = 0
const fresh = (): Buffer => Buffer.from(join(folder, `overlay-${number++}`))
const map = (path: Buffer) => `${path.toString()}.map`

/** An overlay with a block in the middle and the short last one, as it is after its user has gone. */
async function written(path: Buffer = fresh()): Promise<Buffer> {
  const disk = await openOverlay(path, image, backup())
  await disk.write(Buffer.from('changed'), 2 * BLOCK + 5)
  await disk.write(Buffer.from('end'), SIZE - 3)
  await disk.close()
  return path
}

function expected(): Buffer {
  const out = Buffer.from(content)
  out.write('changed', 2 * BLOCK + 5)
  out.write('end', SIZE - 3)
  return out
}

const bytesOf = (path: Buffer) => Buffer.concat([readFileSync(path), readFileSync(map(path))])

async function readAll(path: Buffer): Promise<Buffer> {
  const reader = await openOverlayReader(path)
  try {
    return Buffer.from(await reader.over(image, backup()).read(0, SIZE))
  } finally {
    await reader.close()
  }
}

test('read: the backup with what was written, and nothing of the overlay changes, also after another start of the host', async () => {
  const path = await written()
  const before = readFileSync(path)
  expect((await readAll(path)).equals(expected())).toBe(true)
  const bytes = readFileSync(map(path))
  bytes.write('x', BOOT_ID_AT)
  writeFileSync(map(path), bytes)
  expect((await readAll(path)).equals(expected())).toBe(true)
  expect(bytesOf(path).equals(Buffer.concat([before, bytes]))).toBe(true)
})

test('read: another image is refused', async () => {
  const reader = await openOverlayReader(await written())
  expect(() => reader.over({ ...image, identity: 'other' }, backup())).toThrow(/removed or replaced/)
  expect(() => reader.over({ ...image, identity: 'other', image: 'vm/2' }, backup())).toThrow(/belongs to another image: vm\/100.*, not vm\/2/)
  await reader.close()
})

test('who uses an overlay keeps others from it; readers do not mind each other', async () => {
  const path = await written()
  const disk = await openOverlay(path, image, backup())
  expect(await inspectOverlay(path)).toMatchObject({ inUse: true, holder: process.pid })
  await expect(openOverlayReader(path)).rejects.toThrow(BusyError)
  await expect(dropOverlay(path)).rejects.toThrow(new RegExp(`process ${process.pid} uses this overlay`))
  await disk.close()
  const [first, second] = [await openOverlayReader(path), await openOverlayReader(path)]
  await expect(openOverlay(path, image, backup())).rejects.toThrow(BusyError)
  await expect(dropOverlay(path)).rejects.toThrow(BusyError)
  await Promise.all([first.close(), second.close()])
  expect(await inspectOverlay(path)).toMatchObject({ inUse: false, holder: undefined })
})

test('status: what was written, what is not flushed yet, and what the host has lost with its memory', async () => {
  const path = await written()
  expect(await inspectOverlay(path)).toEqual({
    path, image: image.image, identity: 'abc', purpose: 'overlay', size: SIZE, bytesWritten: 2 * BLOCK, bytesUnsafe: 0, isSameBoot: true, inUse: false, holder: undefined,
  }) // prettier-ignore
  const disk = await openOverlay(path, image, backup())
  await disk.write(Buffer.from('x'), 0)
  expect(await inspectOverlay(path)).toMatchObject({ bytesWritten: 3 * BLOCK, bytesUnsafe: BLOCK, isSameBoot: true })
  const crashed = readFileSync(map(path))
  crashed.write('x', BOOT_ID_AT)
  await disk.close()
  writeFileSync(map(path), crashed)
  expect(await inspectOverlay(path)).toMatchObject({ bytesWritten: 2 * BLOCK, bytesUnsafe: BLOCK, isSameBoot: false })
  expect((await readAll(path)).equals(expected())).toBe(true)
})

test('a map that is damaged or cut off anywhere, a file that is gone, of another size or no file, are named errors', async () => {
  const path = await written()
  const good = readFileSync(map(path))
  const ways: (() => Promise<unknown>)[] = [() => inspectOverlay(path), () => readAll(path), () => openOverlay(path, image, backup())]
  for (const length of [100, 4096, 4097, good.length - 1]) {
    writeFileSync(map(path), good.subarray(0, length))
    for (const way of ways) await expect(way(), `${length} bytes`).rejects.toThrow(FormatError)
  }
  const damaged = Buffer.from(good)
  damaged[40]! ^= 1
  writeFileSync(map(path), damaged)
  for (const way of [...ways, () => dropOverlay(path)]) await expect(way()).rejects.toThrow(/map of the disk is damaged/)
  writeFileSync(map(path), good)
  truncateSync(path, SIZE - 1)
  await expect(inspectOverlay(path)).rejects.toThrow(/another size than its map says/)
  await expect(dropOverlay(path)).rejects.toThrow(FormatError)
  rmSync(path)
  await expect(inspectOverlay(path)).rejects.toThrow(/is missing; its map is there/)
  symlinkSync('/etc/hostname', path)
  await expect(inspectOverlay(path)).rejects.toThrow(/is no regular file/)
  await expect(dropOverlay(path)).rejects.toThrow(/is no regular file/)
  expect(existsSync(map(path))).toBe(true)
})

test('drop: both files go, and it tells what was in them; one that was cut off is finished', async () => {
  const path = fresh()
  await written(path)
  expect(await dropOverlay(path)).toEqual({ path, image: image.image, bytesWritten: 2 * BLOCK })
  expect([existsSync(path), existsSync(map(path))]).toEqual([false, false])
  await written(path)
  rmSync(path)
  await expect(openOverlay(path, image, backup())).rejects.toThrow(/cannot open/)
  expect(await dropOverlay(path)).toEqual({ path, image: image.image, bytesWritten: undefined })
  expect(existsSync(map(path))).toBe(false)
})

test('drop: nothing that is no overlay', async () => {
  const path = fresh()
  await expect(dropOverlay(path)).rejects.toThrow(/is not there/)
  writeFileSync(path, 'precious')
  await expect(dropOverlay(path)).rejects.toThrow(/is no overlay: there is no/)
  for (const text of ['', 'a map of the world']) {
    writeFileSync(map(path), text)
    await expect(dropOverlay(path)).rejects.toThrow(/is no overlay: .* is something else/)
  }
  rmSync(map(path))
  mkdirSync(map(path))
  await expect(dropOverlay(path)).rejects.toThrow(UsageError)
  expect(readFileSync(path, 'utf8')).toBe('precious')
  const other = await written()
  const link = fresh()
  symlinkSync(other, link)
  symlinkSync(map(other), map(link))
  await expect(dropOverlay(link)).rejects.toThrow(/is no regular file/)
  expect(statSync(other).size).toBe(SIZE)
})

test('what a live restore has begun is neither dropped nor read as an overlay, and an overlay is no such restore', async () => {
  const path = fresh()
  const disk = await openOverlay(path, { ...image, purpose: 'restore' }, backup())
  await disk.close()
  await expect(dropOverlay(path)).rejects.toThrow(/restore --live that is not complete/)
  await expect(openOverlayReader(path)).rejects.toThrow(/restore --live/)
  await expect(openOverlay(path, image, backup())).rejects.toThrow(/is a restore --live/)
  expect(await inspectOverlay(path)).toMatchObject({ purpose: 'restore' })
})

test('a folder is walked; the name of a map stands for its overlay', async () => {
  const root = join(folder, 'tree')
  const inside = join(root, 'vm/100')
  mkdirSync(inside, { recursive: true })
  const path = await written(Buffer.from(join(inside, 'drive.img')))
  writeFileSync(join(inside, 'notes'), '')
  symlinkSync(root, join(inside, 'again'))
  expect(findOverlays(Buffer.from(root))).toEqual([path])
  expect(overlayPathOf(Buffer.from(map(path)))).toEqual(path)
  expect(overlayPathOf(path)).toEqual(path)
  expect(await isPartOfOverlay(path)).toBe(true)
  expect(await isPartOfOverlay(Buffer.from(map(path)))).toBe(true)
  expect(await isPartOfOverlay(Buffer.from(join(inside, 'notes')))).toBe(false)
})

test('nothing is made in a datastore, nor where a link leads into one, nor in what is no folder', async () => {
  const store = join(folder, 'store')
  mkdirSync(join(store, '.chunks'), { recursive: true })
  symlinkSync(store, join(folder, 'to-store'))
  writeFileSync(join(folder, 'file'), '')
  for (const place of [store, join(store, 'vm/new'), join(folder, 'to-store/new')]) {
    await expect(openOverlay(Buffer.from(join(place, 'disk')), image, backup())).rejects.toThrow(/lies in the datastore/)
    expect(() => new FolderOverlays(Buffer.from(place))).toThrow(/lies in the datastore/)
    expect(() => makeFolder(Buffer.from(join(place, 'folder')))).toThrow(/lies in the datastore/)
  }
  expect(readdirSync(store)).toEqual(['.chunks'])
  expect(() => new FolderOverlays(Buffer.from(join(folder, 'file/below')))).toThrow(/is no folder \(ENOTDIR\)/)
})
