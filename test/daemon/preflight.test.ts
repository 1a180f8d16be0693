import { chmodSync, existsSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { prepareMountpoint } from '#src/daemon/preflight.js'
import { requireFuseDevice, requireFusermount } from '#src/daemon/require-fuse.js'
import { MountError, UsageError } from '#src/errors/errors.js'
import { silentLog } from '#src/errors/log.js'
import { FakeMountTable } from '../support/fake-mount-table.js'
import { NOBODY } from '../support/mount-rig.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const folder = realpathSync(temporaryFolder())
mkdirSync(join(folder, 'store/.chunks'), { recursive: true })
mkdirSync(join(folder, 'empty'))
mkdirSync(join(folder, 'full'))
writeFileSync(join(folder, 'full/.hidden'), '')
writeFileSync(join(folder, 'file'), '')
symlinkSync('empty', join(folder, 'link'))

async function prepare(mountpoint: string, table = new FakeMountTable(), nonempty = false, source = join(folder, 'store')) {
  let cleaned = 0
  const request = {
    mountpoint: Buffer.from(mountpoint),
    cwd: Buffer.from(folder),
    sourcePaths: [Buffer.from(source)],
    nonempty,
    removeLeftovers: () => void cleaned++,
  }
  const prepared = await prepareMountpoint(request, table, silentLog)
  expect(cleaned).toBe(prepared.inherited ? 0 : 1)
  return { ...prepared, mountpoint: prepared.mountpoint.toString() }
}

describe('prepareMountpoint', () => {
  test('an empty folder, also through a link', async () => {
    const expected = { mountpoint: join(folder, 'empty'), created: false, inherited: false }
    expect(await prepare('empty/')).toEqual(expected)
    expect(await prepare('link')).toEqual(expected)
  })

  test('a missing one is made', async () => {
    expect(await prepare('new')).toEqual({ mountpoint: join(folder, 'new'), created: true, inherited: false })
    expect(existsSync(join(folder, 'new'))).toBe(true)
  })

  test.each([
    ['full', 'is not empty', '-o nonempty'],
    ['file', 'is not a folder', 'empty folder'],
    ['nope/mnt', 'does not exist', 'Make it first'],
    ['store', 'lies in the source', 'outside'],
    ['store/mnt', 'lies in the source', 'outside'],
    ['store/.chunks', 'lies in the source', 'outside'],
    ['.', 'would hide the source', 'outside'],
    ['/', 'would hide the source', 'outside'],
  ])('%s %s', async (mountpoint, message, remedy) => {
    const error: unknown = await prepare(mountpoint).catch((failure: unknown) => failure)
    expect(error).toBeInstanceOf(UsageError)
    expect((error as UsageError).message).toContain(message)
    expect((error as UsageError).fields['remedy']).toContain(remedy)
  })

  test('nothing is made in a datastore', async () => {
    await expect(prepare('store/mnt')).rejects.toThrow()
    expect(existsSync(join(folder, 'store/mnt'))).toBe(false)
  })

  test('nonempty allows what is in the way, not what lies in the source', async () => {
    expect((await prepare('full', undefined, true)).created).toBe(false)
    await expect(prepare('.', undefined, true)).rejects.toThrow('would hide')
    expect((await prepare('full', undefined, true, join(folder, 'fullness'))).created).toBe(false)
  })

  test('FUSE is looked at before anything else', async () => {
    const table = new FakeMountTable()
    table.requireFuse = () => {
      throw new MountError('no FUSE')
    }
    await expect(prepare('never-made', table)).rejects.toThrow('no FUSE')
    expect(existsSync(join(folder, 'never-made'))).toBe(false)
  })

  test('a mount that lives is left alone', async () => {
    const table = new FakeMountTable()
    table.add(join(folder, 'empty'))
    await expect(prepare('empty', table)).rejects.toThrow('is a mount already (fuse.pbsfs of src)')
    table.places.length = 0
    table.add(join(folder, 'empty'), 'ext4')
    table.dead.add(join(folder, 'empty'))
    await expect(prepare('empty', table)).rejects.toThrow('is a mount already (ext4 of src)')
    expect(table.calls.some((call) => call.startsWith('unmount'))).toBe(false)
  })

  test('dead mounts are removed, all that lie on each other', async () => {
    const table = new FakeMountTable()
    table.dead.add(join(folder, 'empty'))
    table.add(join(folder, 'empty'))
    table.add(join(folder, 'empty'))
    await prepare('empty', table)
    expect(table.calls.filter((call) => call.startsWith('unmount lazy'))).toHaveLength(2)
  })

  test('a dead mount that does not go away is said', async () => {
    const table = new FakeMountTable()
    table.dead.add(join(folder, 'empty'))
    table.add(join(folder, 'empty'))
    table.unmount = () => Promise.resolve()
    await expect(prepare('empty', table)).rejects.toThrow(MountError)
  })

  test('an inherited channel is taken as it is', async () => {
    const table = new FakeMountTable()
    expect(await prepare('/dev/fd/3', table)).toEqual({ mountpoint: '/dev/fd/3', created: false, inherited: true })
    expect(table.calls).toEqual([])
  })
})

describe('what FUSE needs', () => {
  test('the device', () => {
    expect(() => requireFuseDevice('/dev/null')).not.toThrow()
    expect(() => requireFuseDevice('/dev/fuse-missing')).toThrow(MountError)
    expect(() => requireFuseDevice('/dev/fuse-missing')).toThrow('/dev/fuse-missing is not there')
  })

  test('the device may be used', () => {
    const device = join(folder, 'device')
    writeFileSync(device, '')
    chmodSync(device, 0)
    // Root may everything: it becomes somebody else for a moment.
    const isRoot = process.geteuid!() === 0
    if (isRoot) process.seteuid!(NOBODY)
    try {
      expect(() => requireFuseDevice(device)).toThrow('may not be used by this user')
    } finally {
      if (isRoot) process.seteuid!(0)
    }
  })

  test('the helper of ordinary users, somewhere in PATH', () => {
    const bin = join(folder, 'bin')
    mkdirSync(bin)
    const found = existsSync('/usr/bin/fusermount3') || existsSync('/bin/fusermount3')
    if (!found) expect(() => requireFusermount(bin)).toThrow('fuse3')
    writeFileSync(join(bin, 'fusermount3'), '')
    expect(() => requireFusermount(`relative:${bin}`)).not.toThrow()
    // A folder that may not be entered, or is none, has no helper.
    if (!found) expect(() => requireFusermount(join(folder, 'file'))).toThrow('fuse3')
    else expect(() => requireFusermount(join(folder, 'file'))).not.toThrow()
  })
})
