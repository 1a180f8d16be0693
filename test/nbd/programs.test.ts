import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { main } from '#src/cli/main.js'
import { captureOutput } from '../support/captured-output.js'
import { noise } from '../support/chunk-rig.js'
import { DatastoreWriter, digestOf, encodeFixedIndex, indexCsum } from '../support/datastore-writer.js'
import { goldenDir } from '../support/golden.js'
import { extentsOf, NbdClient } from '../support/nbd-client.js'
import { nbdPrograms, type NbdProgram } from '../support/nbd-program.js'
import { describeWith } from '../support/needs.js'
import { runOk, runProgram } from '../support/run-program.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const golden = goldenDir() ?? ''
const store = join(golden, 'store')
const folder = temporaryFolder()
const start = nbdPrograms()
const PROGRAMS = { nbdinfo: 'libnbd-bin', nbdcopy: 'libnbd-bin', 'qemu-img': 'qemu-utils', 'qemu-io': 'qemu-utils', 'qemu-nbd': 'qemu-utils' }
const FIRST = 'vm/100/2023-12-09T12:00:00Z'

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

interface TruthRow {
  readonly archive?: string
  readonly size?: number
  readonly sha256?: string
  readonly image?: string
  readonly table?: { readonly partitions: readonly { readonly start: number }[] }
  readonly lvm_first_sha256?: string
}

function rowsOf(generation: number): TruthRow[] {
  const text = readFileSync(join(golden, `truth/vm-100-${generation}.jsonl`), 'utf8')
  return text.trim().split('\n').map((line) => JSON.parse(line) as TruthRow) // prettier-ignore
}

/** Size and digest of each image. */
function truthOf(generation: number): Map<string, { size: number; sha256: string }> {
  return new Map(rowsOf(generation).flatMap(({ archive, size, sha256: digest }) => (archive === undefined ? [] : [[archive.replace('.img.fidx', ''), { size: size!, sha256: digest! }]])))
}

interface MapRow { start?: number; offset?: number; length: number; size?: number; data?: boolean; type?: number } // prettier-ignore

describeWith({ golden: true, programs: PROGRAMS }, 'disks of the real server', () => {
  let program: NbdProgram
  const truth = golden === '' ? new Map<string, { size: number; sha256: string }>() : truthOf(1)

  beforeAll(async () => {
    program = await start([`${store}::${FIRST}`])
  })

  it('prints every disk, partition and volume; the first is one that a machine works with', async () => {
    const names = [...program.uris.keys()]
    expect(names).toEqual([
      'drive-scsi0', 'drive-scsi0/p1-bios.raw', 'drive-scsi0/p2-ESP.vfat', 'drive-scsi0/p3-root.ext4', 'drive-scsi1', 'drive-scsi1/vg1-first.ext4', 'drive-scsi1/vg1-swap.raw',
      'drive-scsi2', 'drive-scsi2/p1-prim.ext4', 'drive-scsi2/p5.squashfs', 'drive-scsi2/p6.erofs', 'drive-scsi3', 'drive-virtio0', 'drive-virtio0/disk-bare.ext4', 'drive-efidisk0',
    ]) // prettier-ignore
    const { exports } = JSON.parse(await runOk('nbdinfo', ['--list', '--json', `nbd+unix:///?socket=${program.socket}`])) as { exports: { 'export-name': string; description: string; 'export-size': number }[] }
    expect(exports.map((one) => one['export-name'])).toEqual(names)
    expect(exports[3]).toMatchObject({ description: `ext4 "root" in drive-scsi0.img of ${FIRST}, 100663296 bytes`, 'export-size': 100_663_296 })
    expect(await runOk('nbdinfo', ['--size', `nbd+unix:///?socket=${program.socket}`])).toBe(`${truth.get('drive-scsi0')!.size}\n`)
    expect(await runOk('qemu-nbd', ['--list', '--socket', program.socket])).toContain("export: 'drive-scsi0/p3-root.ext4'")
  })

  it('nbdinfo: what a client is told', async () => {
    const info = JSON.parse(await runOk('nbdinfo', ['--json', '--no-content', program.uri('drive-scsi0')])) as { exports: Record<string, unknown>[] }
    expect(info).toMatchObject({ protocol: 'newstyle-fixed', TLS: false, structured: true })
    expect(info.exports[0]).toMatchObject({ is_read_only: true, can_multi_conn: true, can_cache: true, can_df: true, can_flush: false, block_size_minimum: 1, block_size_maximum: 33_554_432, contexts: ['base:allocation'] })
  })

  it.each(['drive-scsi0', 'drive-scsi1', 'drive-scsi2', 'drive-virtio0', 'drive-efidisk0'])('nbdcopy of %s is what was backed up', async (name) => {
    await runOk('nbdcopy', [program.uri(name), join(folder, name)])
    expect({ size: statSync(join(folder, name)).size, sha256: sha256(readFileSync(join(folder, name))) }).toEqual(truth.get(name))
  })

  it('holes are told without reading, to nbdinfo and qemu-img alike', async () => {
    const rows = JSON.parse(await runOk('nbdinfo', ['--map', '--json', program.uri('drive-scsi3')])) as MapRow[]
    expect(rows.filter(({ type }) => type === 0).map(({ offset }) => offset)).toEqual([0, 4_999_610_368, 15_032_385_536])
    expect(rows.reduce((sum, { length }) => sum + length, 0)).toBe(truth.get('drive-scsi3')!.size)
    const map = JSON.parse(await runOk('qemu-img', ['map', '--output=json', program.uri('drive-scsi3')])) as MapRow[]
    expect(map.filter(({ data }) => data).map((row) => row.start)).toEqual([0, 4_999_610_368, 15_032_385_536])
  })

  it('a disk of 24 GiB converts to what it holds, and compares', async () => {
    const copy = join(folder, 'copy.qcow2')
    await runOk('qemu-img', ['convert', '-O', 'qcow2', program.uri('drive-scsi3'), copy])
    expect(statSync(copy).size).toBeLessThan(16 << 20)
    expect(await runOk('qemu-img', ['compare', program.uri('drive-scsi3'), copy])).toContain('Images are identical')
  })

  it('qemu-io reads odd ranges and the end; writing is refused', async () => {
    const whole = readFileSync(join(folder, 'drive-virtio0'))
    for (const [offset, length] of [[1, 1], [511, 4098], [4_194_303, 2], [whole.length - 7, 7]] as const) {
      const dump = await runOk('qemu-io', ['-r', '-f', 'raw', '-c', `read -v ${offset} ${length}`, program.uri('drive-virtio0')])
      const hex = dump.split('\n').flatMap((line) => /^[0-9a-f]{8,}: {2}((?:[0-9a-f]{2} )+)/.exec(line)?.[1] ?? []).join('').replaceAll(' ', '') // prettier-ignore
      expect(hex).toBe(whole.subarray(offset, offset + length).toString('hex'))
    }
    expect((await runProgram('qemu-io', ['-f', 'raw', '-c', 'write 0 512', program.uri('drive-virtio0')])).code).not.toBe(0)
    expect((await runProgram('qemu-io', ['-r', '-f', 'raw', '-c', `read ${whole.length - 1} 2`, program.uri('drive-virtio0')])).code).not.toBe(0)
  })

  it('volumes are the bytes of the disk they are in', async () => {
    const disk = readFileSync(join(folder, 'drive-scsi0'))
    await runOk('nbdcopy', [program.uri('drive-scsi0/p3-root.ext4'), join(folder, 'p3')])
    const { table } = rowsOf(1).find((row) => row.image === 'drive-scsi0.img' && row.table !== undefined)!
    const start = table!.partitions[2]!.start * 512
    expect(readFileSync(join(folder, 'p3')).equals(disk.subarray(start, start + 100_663_296))).toBe(true)
    await runOk('nbdcopy', [program.uri('drive-scsi1/vg1-first.ext4'), join(folder, 'first')])
    expect(sha256(readFileSync(join(folder, 'first')))).toBe(rowsOf(1).find((row) => row.lvm_first_sha256 !== undefined)!.lvm_first_sha256)
  })

  it('a client that is killed leaves the others alone', async () => {
    const one = await NbdClient.open(program.socket)
    const killed = runProgram('nbdcopy', [program.uri('drive-scsi0'), 'null:'], { timeoutMs: 60 })
    await one.greet()
    await one.go('drive-efidisk0')
    await killed
    expect(sha256(await one.pread(0, 540_672))).toBe(truth.get('drive-efidisk0')!.sha256)
    one.end()
  })

  it.each(['SIGTERM', 'SIGINT'] as const)('%s: ends with 0 and leaves no socket', async (signal) => {
    const other = await start([`${store}::${FIRST}/drive-efidisk0.img`])
    const client = await NbdClient.open(other.socket)
    await client.greet()
    await client.go('')
    expect(await other.end(signal)).toBe(0)
    expect(existsSync(other.socket)).toBe(false)
    await client.closed
  })
})

describeWith({ golden: true, programs: PROGRAMS }, 'what SOURCE names', () => {
  it('one image: its name, with or without its ending; nothing else', async () => {
    const program = await start([`${store}::vm/100/latest/drive-scsi0.img.fidx`])
    expect([...program.uris.keys()]).toEqual(['drive-scsi0', 'drive-scsi0/p1-bios.raw', 'drive-scsi0/p2-ESP.vfat', 'drive-scsi0/p3-root.ext4'])
    expect(await runOk('nbdinfo', ['--size', `nbd+unix:///drive-scsi0.img?socket=${program.socket}`])).toBe('169607168\n')
    expect((await runProgram('nbdinfo', ['--size', `nbd+unix:///drive-scsi1?socket=${program.socket}`])).code).not.toBe(0)
  })

  it('one partition', async () => {
    const program = await start([`${store}::vm/100/latest/drive-scsi0.img.parts/p3-root.ext4`])
    expect([...program.uris.keys()]).toEqual(['drive-scsi0/p3-root.ext4'])
    expect(await runOk('nbdinfo', ['--size', `nbd+unix:///?socket=${program.socket}`])).toBe('100663296\n')
  })

  it('several snapshots and a namespace: names are paths', async () => {
    const program = await start([`${store}::vm/100`, `${store}::vm/101/latest`, '--keyfile', join(golden, 'keys/plain.key')])
    const names = [...program.uris.keys()]
    expect(names[0]).toBe(`${FIRST}/drive-scsi0`)
    expect(names.filter((name) => /^vm\/100\/2023-12-11T12:00:00Z\/drive-scsi0/.test(name))).toHaveLength(4)
    const encrypted = names.find((name) => /^vm\/101\/.*\/drive-scsi1$/.test(name))!
    await runOk('nbdcopy', [program.uri(encrypted), join(folder, 'encrypted')])
    // The same disk as in the third generation of vm/100.
    expect(sha256(readFileSync(join(folder, 'encrypted')))).toBe(truthOf(3).get('drive-scsi1')!.sha256)
  })

  it('a file inside an archive', async () => {
    const program = await start([`${store}::host/tricky/latest/root.pxar:sizes/5M.random`])
    expect([...program.uris.keys()]).toEqual(['root.pxar/sizes/5M.random'])
    expect(await runOk('nbdinfo', ['--size', program.uri('root.pxar/sizes/5M.random')])).toBe(`${5 << 20}\n`)
  })

  it.each([
    [['::vm/100/latest/qemu-server.conf'], 4, 'is no disk image'],
    [['::vm/100/latest/nothing.img'], 4, 'there is no such archive'],
    [['::host/tricky/latest'], 4, 'no disk image in what was named'],
    [['::vm/101/latest'], 5, 'key'],
    [['::vm/100/latest', '--listen', '0.0.0.0:0'], 2, '--no-tls'],
    [['::vm/100/latest', '--listen', 'nonsense'], 2, 'is not an address'],
    [['::vm/100/latest', '--tls'], 2, '--tls needs'],
    [['::vm/100/latest', '--tls-psk', '/nonexistent'], 4, 'cannot read'],
  ])('%j is refused with %i', async ([selector, ...args], code, message) => {
    const output = captureOutput()
    expect(await main(['nbd', `${store}${selector}`, ...args], output)).toBe(code)
    expect(output.texts.err).toContain(message)
  })

  it('without --socket: one in the runtime folder, gone at the end; that of a killed server is removed', async () => {
    const run = join(folder, 'run')
    mkdirSync(run, { mode: 0o700 })
    const env = process.getuid?.() === 0 ? {} : { XDG_RUNTIME_DIR: run }
    const first = await start([`${store}::vm/100/latest/drive-efidisk0.img`, '--own-socket'], env)
    const path = /socket=(.*)$/.exec(first.uri('drive-efidisk0'))![1]!
    expect(path).toMatch(new RegExp(`/nbd-${first.child.pid}\\.sock$`))
    expect(statSync(path).mode & 0o777).toBe(0o600)
    await first.end('SIGKILL')
    expect(existsSync(path)).toBe(true)
    const second = await start([`${store}::vm/100/latest/drive-efidisk0.img`, '--own-socket'], env)
    expect(existsSync(path)).toBe(false)
    expect(await second.end()).toBe(0)
  })
})

describeWith({ golden: true, programs: PROGRAMS }, 'what changed', () => {
  const SECOND = '2023-12-10T12:00:00Z'
  const CONTEXT = `qemu:dirty-bitmap:${SECOND}`
  let program: NbdProgram
  let before: NbdProgram

  beforeAll(async () => {
    program = await start([`${store}::vm/100/latest`, '--since', SECOND])
    before = await start([`${store}::vm/100/${SECOND}`])
  })

  it.each(['drive-scsi0', 'drive-scsi1', 'drive-scsi2', 'drive-virtio0', 'drive-efidisk0'])('%s: the disk of then with what changed is that of now', async (name) => {
    await runOk('nbdcopy', [before.uri(name), join(folder, 'before')])
    const disk = readFileSync(join(folder, 'before'))
    const client = await NbdClient.open(program.socket)
    await client.greet()
    const { size } = await client.go(name, { contexts: [CONTEXT] })
    expect(size).toBe(disk.length)
    client.request(7, 1, 0, size)
    const [reply] = await client.reply(1n)
    let at = 0
    let read = 0
    for (const [length, flags] of extentsOf(reply!).extents) {
      if (flags === 1) for (let from = at; from < at + length; from += 1 << 24, read += 1) (await client.pread(from, Math.min(1 << 24, at + length - from))).copy(disk, from)
      at += length
    }
    expect(at).toBe(size)
    expect(read > 0).toBe(name !== 'drive-efidisk0')
    expect(sha256(disk)).toBe(truthOf(3).get(name)!.sha256)
    client.end()
  })

  it('nbdinfo and qemu-img read the bitmap', async () => {
    const uri = program.uri('drive-scsi0')
    const rows = JSON.parse(await runOk('nbdinfo', ['--json', `--map=${CONTEXT}`, uri])) as MapRow[]
    const dirty = rows.filter(({ type }) => type === 1)
    expect(dirty.map(({ offset, length }) => [offset, length])).toContainEqual([37_748_736, 12_582_912])
    const options = `driver=nbd,server.type=unix,server.path=${program.socket},export=drive-scsi0,x-dirty-bitmap=${CONTEXT}`
    const map = JSON.parse(await runOk('qemu-img', ['map', '--output=json', '--image-opts', options])) as MapRow[]
    // QEMU shows what is dirty as not allocated.
    expect(map.filter(({ data }) => data === false).map(({ start, length }) => [start, length])).toEqual(dirty.map(({ offset, length }) => [offset, length]))
    expect(program.err()).toMatch(/^drive-scsi0: 37\.8 MiB changed since /m)
  })

  it('--access: what a target has to read, under the bitmap it named', async () => {
    const state = ['--state-dir', join(folder, 'state')]
    const access = async (...args: string[]): Promise<number> => main(['access', ...args, ...state], captureOutput())
    expect(await access('setup', 'tape', `${store}::vm/100/${SECOND}`, '--bitmap', 'weekly')).toBe(0)
    const whole = await start(['--access', 'tape', ...state])
    const map = async (server: NbdProgram): Promise<MapRow[]> =>
      JSON.parse(await runOk('nbdinfo', ['--json', '--map=qemu:dirty-bitmap:weekly', server.uri('drive-scsi0')])) as MapRow[]
    expect(await map(whole)).toEqual([expect.objectContaining({ offset: 0, type: 1 })])
    expect(whole.err()).toMatch(/^drive-scsi0: .* to read \(new\)/m)
    expect(await access('teardown', 'tape', '--success')).toBe(0)
    expect(await access('setup', 'tape', `${store}::vm/100/latest`, '--bitmap', 'weekly')).toBe(0)
    const changed = await start(['--access', 'tape', ...state])
    expect(changed.err()).toMatch(/^drive-scsi0: 37\.8 MiB to read \(used\)/m)
    const dirty = (rows: MapRow[]) => rows.filter(({ type }) => type === 1).map(({ offset, length }) => [offset, length])
    const since = JSON.parse(await runOk('nbdinfo', ['--json', `--map=${CONTEXT}`, program.uri('drive-scsi0')])) as MapRow[]
    expect(dirty(await map(changed))).toEqual(dirty(since))
    await runOk('nbdcopy', [changed.uri('drive-scsi0'), join(folder, 'now')])
    expect(sha256(readFileSync(join(folder, 'now')))).toBe(truthOf(3).get('drive-scsi0')!.sha256)
    // The run failed: what it was to read is to be read again, whatever else is by then.
    expect(await access('teardown', 'tape', '--failure')).toBe(0)
    expect(await access('setup', 'tape', `${store}::vm/100/${SECOND}`, '--bitmap', 'weekly')).toBe(0)
    expect(dirty(await map(await start(['--access', 'tape', ...state])))).toEqual(dirty(since))
  })

  it('partitions, and disks that were not there, have none', async () => {
    const uri = program.uri('drive-scsi0/p3-root.ext4')
    expect(await runOk('nbdinfo', ['--json', '--no-content', uri])).not.toContain('dirty-bitmap')
    const other = await start([`${store}::vm/101/latest`, '--since', `vm/100/${SECOND}`, '--keyfile', join(golden, 'keys/plain.key'), '--bitmap', 'b'])
    expect(await runOk('nbdinfo', ['--json', '--no-content', other.uri('drive-scsi1')])).not.toContain('dirty-bitmap')
    expect(other.err()).toMatch(/ warn it cannot be told what changed .*encrypted/)
  })

  it.each([
    [['--since', '2001-01-01T00:00:00Z'], 4, 'no such finished snapshot'],
    [['--since', 'vm/100'], 2, 'is no snapshot'],
    [['--bitmap', 'b'], 2, '--bitmap belongs to --since'],
    [['--access', 'tape'], 2, '--access stands in place of SOURCE'],
  ])('%j is refused', async (args, code, message) => {
    const output = captureOutput()
    expect(await main(['nbd', `${store}::vm/100/latest`, ...args], output)).toBe(code)
    expect(output.texts.err).toContain(message)
  })

  it.each([
    [[], 'say what is to be served'],
    [['--access', 'nobody'], 'no access of nobody is set up'],
    [['--access', 'nobody', '--since', SECOND], '--access and --since exclude each other'],
  ])('without SOURCE %j is refused', async (args, message) => {
    const output = captureOutput()
    expect(await main(['nbd', ...args, '--state-dir', join(folder, 'none')], output)).toBe(2)
    expect(output.texts.err).toContain(message)
  })
})

describeWith({ golden: true, programs: PROGRAMS }, 'with an overlay', () => {
  const image = `${store}::vm/100/2023-12-11T12:00:00Z/drive-virtio0.img`
  const file = join(folder, 'overlay')
  const io = (program: NbdProgram, ...commands: string[]) => runOk('qemu-io', ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), `nbd+unix:///?socket=${program.socket}`])
  const copy = async (program: NbdProgram): Promise<Buffer> => {
    await runOk('nbdcopy', [`nbd+unix:///?socket=${program.socket}`, join(folder, 'written')])
    return readFileSync(join(folder, 'written'))
  }

  it('what clients write is there for all, after a kill and a new start too; the backup stays as it is', async () => {
    const first = await start([image, '--overlay', file])
    const expected = await copy(first)
    expect(sha256(expected)).toBe(truthOf(3).get('drive-virtio0')!.sha256)
    await io(first, 'write -P 0x77 1000 5000', 'write -z 1M 128k', 'discard 2M 1M', 'write -f -P 0x11 20M 64k', 'flush')
    expected.fill(0x77, 1000, 6000).fill(0, 1 << 20, (1 << 20) + 131_072).fill(0, 2 << 20, 3 << 20).fill(0x11, 20 << 20, (20 << 20) + 65_536)
    expect((await copy(first)).equals(expected)).toBe(true)
    const map = await runOk('nbdinfo', ['--map', `nbd+unix:///?socket=${first.socket}`])
    const holes = map.split('\n').map((line) => line.trim().split(/\s+/).map(Number)).filter(([, , flags]) => flags === 3)
    const isHole = (at: number, length: number) => holes.some(([offset, size]) => offset! <= at && at + length <= offset! + size!)
    expect([isHole(2 << 20, 1 << 20), isHole(20 << 20, 65_536)]).toEqual([true, false])
    await first.end('SIGKILL')
    const second = await start([image, '--overlay', file])
    expect((await copy(second)).equals(expected)).toBe(true)
    await expect(start([image, '--overlay', file])).rejects.toThrow(/ended with 4: .*uses this overlay/s)
    expect(await second.end()).toBe(0)
    expect(statSync(file)).toMatchObject({ size: expected.length })
    expect(statSync(file).blocks * 512).toBeLessThan(expected.length)
    const plain = await start([image])
    expect(sha256(await copy(plain))).toBe(truthOf(3).get('drive-virtio0')!.sha256)
  })

  it('nothing is made in a datastore', async () => {
    const own = join(folder, 'own')
    new DatastoreWriter(own)
    const output = captureOutput()
    expect(await main(['nbd', image, '--overlay', join(own, 'vm/overlay')], output)).toBe(2)
    expect(output.texts.err).toContain(`lies in the datastore ${own}, which is never written to`)
  })

  it.each([
    [[`${store}::vm/100/2023-12-10T12:00:00Z/drive-virtio0.img`], 'belongs to another image'],
    [[`${store}::vm/100/latest`], 'an overlay is for one whole disk'],
    [[`${image}.parts/disk-bare.ext4`], 'an overlay is for one whole disk'],
  ])('%j is refused', async (sources, message) => {
    const output = captureOutput()
    expect(await main(['nbd', ...sources, '--overlay', file], output)).toBe(2)
    expect(output.texts.err).toContain(message)
  })
})

describeWith({ golden: true, programs: PROGRAMS }, 'with TLS', () => {
  const KEY = '0123456789abcdef'.repeat(4)
  const keys = (name: string, key: string): string => {
    mkdirSync(join(folder, name), { mode: 0o700 })
    writeFileSync(join(folder, name, 'keys.psk'), `alice:${key}\n`, { mode: 0o600 })
    return join(folder, name)
  }
  const disk = `${store}::${FIRST}/drive-efidisk0.img`
  const qemuImg = (program: NbdProgram, psk: string | undefined, ...args: string[]) => {
    const options = `driver=nbd,server.type=unix,server.path=${program.socket},export=drive-efidisk0`
    const credentials = ['--object', `tls-creds-psk,id=tls0,dir=${psk},username=alice,endpoint=client`]
    return runProgram('qemu-img', [args[0]!, ...(psk === undefined ? [] : credentials), '--image-opts', `${options}${psk === undefined ? '' : ',tls-creds=tls0'}`, ...args.slice(1)])
  }

  it('qemu-img reads with the key, and is told why not with another, with none, and by a server that has none', async () => {
    const right = keys('right', KEY)
    const wrong = keys('wrong', KEY.replaceAll('0', '1'))
    const program = await start([disk, '--tls', '--tls-psk', join(right, 'keys.psk')])
    const copy = join(folder, 'encrypted.raw')
    expect(await qemuImg(program, right, 'convert', '-O', 'raw', copy)).toMatchObject({ code: 0 })
    expect(sha256(readFileSync(copy))).toBe(truthOf(1).get('drive-efidisk0')!.sha256)
    // The printed URI is complete: libnbd needs nothing more.
    expect(await runOk('nbdinfo', ['--size', program.uri('drive-efidisk0')])).toBe('540672\n')
    expect((await qemuImg(program, wrong, 'info')).err).toContain('TLS handshake failed')
    expect((await qemuImg(program, undefined, 'info')).err).toContain('this server wants TLS')
    expect((await qemuImg(await start([disk]), right, 'info')).err).toContain('this server has no TLS')
  })
})

describeWith({ programs: PROGRAMS }, 'a disk of 1 TiB', () => {
  const CHUNK = 1 << 22
  // Odd: partition tables are looked for at both ends, where nothing has to be read then.
  const COUNT = (1 << 18) + 1
  const place = { type: 'vm' as const, id: '1' }
  const path = join(folder, 'large')
  const times = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'] as const

  /** Every second chunk is a hole; of the others the store has none, so that whoever reads one gets an error. */
  beforeAll(() => {
    const writer = new DatastoreWriter(path)
    const zeros = digestOf(Buffer.alloc(CHUNK))
    const digests = Buffer.alloc(COUNT * 32)
    for (let i = 0; i < COUNT; i++) {
      if (i % 2 === 0) zeros.copy(digests, i * 32)
      else digests.writeUInt32LE(i, i * 32)
    }
    for (const time of times) {
      if (time === times[1]) for (let i = 1; i < COUNT; i += 1024) digests[i * 32 + 31] = 1
      const index = encodeFixedIndex(COUNT * CHUNK, [digests])
      const snapshot = writer.snapshot(place, time)
      snapshot.addFile('drive-scsi0.img.fidx', index, COUNT * CHUNK, indexCsum(index))
      snapshot.finish()
    }
  })

  it('is mapped, and compared with what it was, without a look at its chunks', async () => {
    const program = await start([`${path}::vm/1/${times[1]}/drive-scsi0.img`, '--since', times[0], '--bitmap', 'b'])
    const map = async (...args: string[]) => JSON.parse(await runOk('nbdinfo', ['--json', ...args, program.uri('drive-scsi0')])) as MapRow[]
    const rows = await map('--map')
    expect(rows).toHaveLength(COUNT)
    expect(rows.every(({ offset, length, type }, i) => offset === i * CHUNK && length === CHUNK && type === (i % 2 === 0 ? 3 : 0))).toBe(true)
    const dirty = (await map('--map=qemu:dirty-bitmap:b')).filter(({ type }) => type === 1)
    expect(dirty.map(({ offset, length }) => [offset, length])).toEqual(Array.from({ length: 256 }, (_, i) => [(i * 1024 + 1) * CHUNK, CHUNK]))
    const totals = await map('--map', '--totals')
    expect(totals.map(({ size, type }) => [type, size])).toEqual([[0, Math.floor(COUNT / 2) * CHUNK], [3, Math.ceil(COUNT / 2) * CHUNK]])
    expect(program.err()).not.toContain(' warn ')
  })
})

describe('damage', () => {
  const CHUNK = 65_536
  const image = noise(4 * CHUNK, 77)
  const path = join(folder, 'damaged')
  const sources = `${path}::vm/9/2026-01-02T00:00:00Z`

  beforeAll(() => {
    const writer = new DatastoreWriter(path)
    const place = { type: 'vm' as const, id: '9' }
    writer.addGroup(place)
    const snapshot = writer.snapshot(place, '2026-01-02T00:00:00Z')
    snapshot.addImage('drive-scsi0.img.fidx', image, CHUNK)
    snapshot.finish()
    unlinkSync(writer.chunkPath(writer.addChunk(image.subarray(CHUNK, 2 * CHUNK))))
  })

  async function open(program: NbdProgram): Promise<NbdClient> {
    const client = await NbdClient.open(program.socket)
    await client.greet()
    await client.go('')
    return client
  }

  it('lost bytes are an error at their place, once in the log, and the rest is there', async () => {
    const program = await start([sources])
    const client = await open(program)
    for (let i = 0; i < 3; i++) await expect(client.pread(CHUNK + i, 10)).rejects.toThrow('error 5')
    client.request(0, 9, 0, image.length)
    const [error] = (await client.reply(9n)).filter(({ type }) => type === 0x8002)
    const length = error!.payload.readUInt16BE(4)
    expect(Number(error!.payload.readBigUInt64BE(6 + length))).toBe(CHUNK)
    expect(await client.pread(0, CHUNK)).toEqual(image.subarray(0, CHUNK))
    expect(await client.pread(2 * CHUNK, 2 * CHUNK)).toEqual(image.subarray(2 * CHUNK))
    expect(program.err().split('\n').filter((line) => line.includes(' warn '))).toHaveLength(1)
    client.end()
  })

  it('--damaged zero: zeros in their place, and it says so', async () => {
    const program = await start([sources, '--damaged', 'zero'])
    const client = await open(program)
    const expected = Buffer.from(image)
    expected.fill(0, CHUNK, 2 * CHUNK)
    expect((await client.pread(0, image.length)).equals(expected)).toBe(true)
    expect(program.err()).toMatch(/ warn .*zeroed=true/)
    client.end()
  })

  it('--fallback: taken from another store', async () => {
    const other = new DatastoreWriter(join(folder, 'fallback'))
    other.addChunk(image.subarray(CHUNK, 2 * CHUNK))
    const program = await start([sources, '--fallback', join(folder, 'fallback')])
    const client = await open(program)
    expect((await client.pread(0, image.length)).equals(image)).toBe(true)
    client.end()
    rmSync(join(folder, 'fallback'), { recursive: true })
  })
})
