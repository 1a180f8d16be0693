import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { BusyError, TargetError, UsageError } from '#src/errors/errors.js'
import { openOverlay } from '#src/overlay/open-overlay.js'
import { MemoryStream } from '../support/memory-stream.js'

const SIZE = 200_000
const wanted = { size: SIZE, identity: 'one', image: 'vm/100/drive' }
const backup = () => new MemoryStream(Buffer.alloc(SIZE, 1), { peeks: false })

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pbsfs-overlay-'))
  path = join(folder, 'disk')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const open = (image = wanted) => openOverlay(Buffer.from(path), image, backup())

it('goes on with what was written; of one image, one at a time, and as large as its map says', async () => {
  const disk = await open()
  await disk.write(Buffer.from('x'), 100_000)
  await expect(open()).rejects.toThrow(BusyError)
  await disk.close()
  const again = await open()
  expect(Buffer.from(await again.read(99_999, 3)).toString('latin1')).toBe('\x01x\x01')
  await again.close()
  await expect(open({ ...wanted, identity: 'another' })).rejects.toThrow(/belongs to another image/)
  truncateSync(path, SIZE - 1)
  await expect(open()).rejects.toThrow(TargetError)
})

it('a file that is no overlay is left alone, also one of the same size', async () => {
  for (const bytes of [Buffer.alloc(SIZE, 7), Buffer.from('mine')]) {
    writeFileSync(path, bytes)
    await expect(open()).rejects.toThrow(UsageError)
    expect(readFileSync(path).equals(bytes)).toBe(true)
    expect(existsSync(`${path}.map`)).toBe(false)
  }
})

it('one whose making was cut off is made', async () => {
  writeFileSync(path, '')
  truncateSync(path, SIZE)
  writeFileSync(`${path}.map`, '')
  const disk = await open()
  expect((await disk.read(0, 1))[0]).toBe(1)
  await disk.close()
})
