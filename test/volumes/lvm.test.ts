import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { KeyError, SourceError } from '#src/errors/errors.js'
import { DiskSet, type DiskVolumes } from '#src/volumes/disk-set.js'
import { parseConfigText } from '#src/volumes/lvm/config-text.js'
import { parseVolumeGroup } from '#src/volumes/lvm/volume-group.js'
import { DiskWriter, lvmId, vgText, type PvOptions, type VgText } from '../support/disk-writer.js'
import { MemoryStream } from '../support/memory-stream.js'

const MiB = 1024 * 1024

/** A disk of 8 MiB, one MiB of metadata, extent `n` of 1 MiB filled with `fill + n`. */
function pvDisk(id: string, text: string | undefined, fill: number, options: PvOptions = {}): DiskWriter {
  const disk = new DiskWriter(8 * MiB)
  for (let n = 0; n < 7; n++) disk.bytes.fill(fill + n, (n + 1) * MiB, (n + 2) * MiB)
  return disk.pv(0, id, text, options)
}

function setOf(disks: Readonly<Record<string, DiskWriter>>): DiskSet {
  return new DiskSet(Object.entries(disks).map(([name, { bytes }]) => ({ name, stream: new MemoryStream(bytes, { name }) })))
}

const namesOf = ({ volumes, notes }: DiskVolumes) => [...volumes, ...notes].map(({ name }) => name).filter((name) => name !== 'README.txt')

/** First byte of every MiB. */
async function fills({ volumes }: DiskVolumes, name: string): Promise<number[]> {
  const { stream } = volumes.find((volume) => volume.name === name)!
  const bytes = await stream.read(0, stream.size)
  return Array.from({ length: bytes.length / MiB }, (_, i) => bytes[i * MiB]!)
}

const two: VgText = {
  pvs: [lvmId('A'), lvmId('B')],
  lvs: {
    span: [
      { start: 0, count: 2, pv: 'pv0', from: 5 },
      { start: 2, count: 3, pv: 'pv1', from: 0 },
    ],
    'a-b': [{ start: 0, count: 1, pv: 'pv1', from: 6 }],
  },
}

describe('volumes', () => {
  test('over two disks: shown once, beside the disk with the first extent, whichever is asked first', async () => {
    const text = vgText(two)
    for (const order of [['a', 'b'], ['b', 'a']]) {
      const disks = setOf({ a: pvDisk(lvmId('A'), text, 10), b: pvDisk(lvmId('B'), text, 100) })
      const found = new Map<string, DiskVolumes>()
      for (const name of order) found.set(name, await disks.volumesOf(name))
      expect(namesOf(found.get('a')!)).toEqual(['vg0-span.raw'])
      expect(namesOf(found.get('b')!)).toEqual(['vg0-a--b.raw'])
      expect(await fills(found.get('a')!, 'vg0-span.raw')).toEqual([15, 16, 100, 101, 102])
      expect(await fills(found.get('b')!, 'vg0-a--b.raw')).toEqual([106])
    }
  })

  test('a physical volume without metadata is found through the other', async () => {
    const disks = setOf({ a: pvDisk(lvmId('A'), undefined, 10), b: pvDisk(lvmId('B'), vgText(two), 100) })
    expect(await fills(await disks.volumesOf('a'), 'vg0-span.raw')).toEqual([15, 16, 100, 101, 102])
  })

  test('metadata that is marked as ignored is not used', async () => {
    const disks = setOf({ a: pvDisk(lvmId('A'), vgText({ ...two, lvs: {} }), 10, { ignored: true }), b: pvDisk(lvmId('B'), vgText(two), 100) })
    expect(namesOf(await disks.volumesOf('a'))).toEqual(['vg0-span.raw'])
  })

  test('the newest metadata counts', async () => {
    const old = vgText({ ...two, lvs: { old: [{ start: 0, count: 1, pv: 'pv0', from: 0 }] } })
    const disks = setOf({ a: pvDisk(lvmId('A'), old, 10), b: pvDisk(lvmId('B'), vgText({ ...two, seqno: 2 }), 100) })
    expect(namesOf(await disks.volumesOf('a'))).toEqual(['vg0-span.raw'])
  })

  test('a missing disk: a note says which physical volume, the rest is shown', async () => {
    const found = await setOf({ b: pvDisk(lvmId('B'), vgText(two), 100) }).volumesOf('b')
    expect(namesOf(found)).toEqual(['vg0-a--b.raw', 'vg0-span.incomplete.txt'])
    expect(found.notes.find(({ name }) => name === 'vg0-span.incomplete.txt')!.text).toContain(`its physical volume ${lvmId('A')} is not in this snapshot`)
  })

  test('copies of a disk: each shows its own volumes, what spans them is not guessed', async () => {
    const text = vgText(two)
    const disks = setOf({ a: pvDisk(lvmId('A'), text, 10), b: pvDisk(lvmId('B'), text, 100), copy: pvDisk(lvmId('B'), text, 200) })
    expect(await fills(await disks.volumesOf('b'), 'vg0-a--b.raw')).toEqual([106])
    expect(await fills(await disks.volumesOf('copy'), 'vg0-a--b.raw')).toEqual([206])
    const { notes, volumes } = await disks.volumesOf('a')
    expect(volumes).toEqual([])
    expect(notes.find(({ name }) => name === 'vg0-span.incomplete.txt')!.text).toContain('is there 2 times')
  })

  test('another disk that needs a key or does not answer costs only what lies on it', async () => {
    const text = vgText(two)
    for (const error of [new KeyError('no key'), new SourceError('storage is away')]) {
      const broken = new MemoryStream(pvDisk(lvmId('A'), text, 10).bytes, { name: 'a', onRead: () => { throw error } }) // prettier-ignore
      const disks = new DiskSet([{ name: 'a', stream: broken }, { name: 'b', stream: new MemoryStream(pvDisk(lvmId('B'), text, 100).bytes) }])
      expect(namesOf(await disks.volumesOf('b'))).toEqual(['vg0-a--b.raw', 'vg0-span.incomplete.txt'])
      if (error instanceof KeyError) await expect(disks.volumesOf('a')).rejects.toBe(error)
      else expect((await disks.volumesOf('a')).passing).toBe(true)
    }
  })

  test('a physical volume in a partition', async () => {
    const text = vgText({ pvs: [lvmId('A')], lvs: { one: [{ start: 0, count: 1, pv: 'pv0', from: 1 }] } })
    const disk = new DiskWriter(16 * MiB).gpt([{ first: 2048, last: 2048 * 9 - 1, name: 'pv' }]).write(MiB, pvDisk(lvmId('A'), text, 10).bytes)
    const found = await setOf({ disk }).volumesOf('disk')
    expect(namesOf(found)).toEqual(['p1-pv.lvm', 'vg0-one.raw'])
    expect(await fills(found, 'vg0-one.raw')).toEqual([11])
  })

  test('text that goes round the end of its ring', async () => {
    const text = vgText({ pvs: [lvmId('A')], lvs: { one: [{ start: 0, count: 1, pv: 'pv0', from: 1 }] } })
    const disk = pvDisk(lvmId('A'), text, 10, { areaSize: 8192, textAt: 8192 - 300 })
    expect(namesOf(await setOf({ disk }).volumesOf('disk'))).toEqual(['vg0-one.raw'])
  })

  test('a file system inside, and a label with an old hidden volume', async () => {
    const text = vgText({ pvs: [lvmId('A')], lvs: { root: [{ start: 0, count: 2, pv: 'pv0', from: 1 }] } })
    const disk = pvDisk(lvmId('A'), text, 0).ext4(2 * MiB, 'root')
    expect(namesOf(await setOf({ disk }).volumesOf('disk'))).toEqual(['vg0-root.ext4'])
  })
})

describe('volumes that are not shown', () => {
  const segment = (type: string, more = '') => `segment1 {\nstart_extent = 0\nextent_count = 1\ntype = "${type}"\n${more}}\n`
  const kinds: [kind: string, body: string, note: string][] = [
    ['thin', segment('thin', 'thin_pool = "pool"\ntransaction_id = 0\ndevice_id = 1\n'), 'a thin volume'],
    ['thin-pool', segment('thin-pool', 'metadata = "m"\npool = "p"\n'), 'a thin pool'],
    ['mirror', segment('mirror', 'mirror_count = 2\nmirrors = ["a", 0, "b", 0]\n'), 'a mirror'],
    ['raid1', segment('raid1', 'device_count = 2\nraids = ["a", "b"]\n'), 'a RAID volume (raid1)'],
    ['striped', segment('striped', 'stripe_count = 2\nstripes = ["pv0", 0, "pv0", 1]\n'), 'striped'],
    ['striped', segment('striped', 'stripe_count = 2\nstripes = ["pv0", 0]\n'), 'striped'],
    ['cache', segment('cache', 'cache_pool = "c"\norigin = "o"\n'), 'a volume with a cache'],
    ['layered', segment('striped', 'stripe_count = 1\nstripes = ["pvmove0", 0]\n'), 'made of other logical volumes'],
    ['xy', segment('x/y\\"', ''), 'of the kind xy'],
  ]
  test.each(kinds)('%s', async (kind, body, note) => {
    const text = vgText({ pvs: [lvmId('A')], lvs: { odd: body, good: [{ start: 0, count: 1, pv: 'pv0', from: 0 }] } })
    const found = await setOf({ disk: pvDisk(lvmId('A'), text, 10) }).volumesOf('disk')
    expect(namesOf(found)).toEqual(['vg0-good.raw', `vg0-odd.${kind}.txt`])
    expect(found.notes.find(({ name }) => name.startsWith('vg0-odd'))!.text).toContain(note)
  })

  test('the store of an old snapshot is no volume, its origin is', async () => {
    const snapshot = segment('snapshot', 'chunk_size = 8\norigin = "origin"\ncow_store = "snap"\n')
    const lvs = { origin: [{ start: 0, count: 1, pv: 'pv0', from: 0 }], snap: [{ start: 0, count: 1, pv: 'pv0', from: 1 }], snapshot0: snapshot }
    const found = await setOf({ disk: pvDisk(lvmId('A'), vgText({ pvs: [lvmId('A')], lvs }), 10) }).volumesOf('disk')
    expect(found.volumes.map(({ name }) => name)).toEqual(['vg0-origin.raw'])
    expect(namesOf(found)).toContain('vg0-snap.snapshot.txt')
  })

  test('extents outside the physical volume', async () => {
    const text = vgText({ pvs: [lvmId('A')], lvs: { far: [{ start: 0, count: 1, pv: 'pv0', from: 2 ** 40 }], end: [{ start: 0, count: 2, pv: 'pv0', from: 6 }] } })
    const found = await setOf({ disk: pvDisk(lvmId('A'), text, 10) }).volumesOf('disk')
    expect(found.volumes).toEqual([])
    expect(found.notes.map(({ text: note }) => note).join()).toContain('lies outside its physical volume')
  })
})

describe('damaged metadata', () => {
  const text = vgText(two)
  const cases: [what: string, disk: () => DiskWriter, problem: RegExp][] = [
    ['a flipped bit in the label', () => spoilt(512 + 40), /label of a physical volume: the checksum is wrong/],
    ['a flipped bit in the area', () => spoilt(4096 + 30), /metadata area: the checksum is wrong/],
    ['a flipped bit in the text', () => spoilt(4096 + 512 + 100), /metadata text: the checksum is wrong/],
    ['text that is cut', () => pvDisk(lvmId('A'), text.slice(0, 300), 10), /text of the volume group cannot be read at byte/],
    ['text larger than its ring', () => pvDisk(lvmId('A'), text, 10, { textSize: 2 ** 40 }), /cannot lie where it should/],
    ['no text', () => pvDisk(lvmId('A'), '', 10), /wrong volume group/],
    ['a gap between segments', () => gap(), /wrong segment of odd/],
  ]
  function spoilt(at: number): DiskWriter {
    const disk = pvDisk(lvmId('A'), text, 10)
    disk.bytes[at]! ^= 0x10
    return disk
  }
  function gap(): DiskWriter {
    return pvDisk(lvmId('A'), vgText({ pvs: [lvmId('A')], lvs: { odd: [{ start: 1, count: 1, pv: 'pv0', from: 0 }] } }), 10)
  }
  test.each(cases)('%s', async (_, make, problem) => {
    const { problems, volumes } = await setOf({ disk: make() }).volumesOf('disk')
    expect(problems.map(({ message }) => message).join('\n')).toMatch(problem)
    expect(volumes).toEqual([])
  })
})

describe('the text format', () => {
  test('values of every kind', () => {
    const { values, sections } = parseConfigText('# c\na = 1\nb = -2.5\nc = "x\\"y\\\\z"\nd = [ "p", 3 ,]\ne = []\ns { t { } }\0', 'text')
    expect([...values]).toEqual([['a', 1], ['b', -2.5], ['c', 'x"y\\z'], ['d', ['p', 3]], ['e', []]])
    expect([...sections.get('s')!.sections.keys()]).toEqual(['t'])
  })

  test.each(['a', 'a =', 'a = [', 'a = [1 2]', 'a = "x', 's {', '}', 's { } s { }', '= 1', 'a = x', '"a', `${'s { '.repeat(9)}`])('refuses %j', (text) => {
    expect(() => parseConfigText(text, 'text')).toThrow(/cannot be read at byte/)
  })

  test('huge texts of one kind end in bounded time', () => {
    const start = performance.now()
    for (const piece of ['#\n', ' ', 's{', 'a=1 ', '"', '"\\', '[', 'a', '\\', 'a=[1,']) {
      const text = piece.repeat(Math.floor((2 << 20) / piece.length))
      try {
        parseVolumeGroup(text, 'text')
      } catch (error) {
        expect(error).toMatchObject({ tag: 'format' })
      }
    }
    expect(performance.now() - start).toBeLessThan(20_000)
  })

  test('any text gives a group or a named error', () => {
    const word = fc.constantFrom('{', '}', '=', '[', ']', ',', '"', '#', '\n', ' ', '\\', 'vg', 'id', 'segment1', 'extent_size', '1', '18446744073709551615', '"pv0"', '\0')
    fc.assert(
      fc.property(fc.array(word, { maxLength: 60 }), (words) => {
        try {
          parseVolumeGroup(words.join(''), 'text')
        } catch (error) {
          expect(error).toMatchObject({ tag: 'format' })
        }
      }),
    )
  })

  test('a piece of real text replaced gives volumes inside their disks, or a named problem', async () => {
    const text = vgText(two)
    const number = fc.constantFrom('0', '-1', '4294967296', '9007199254740993', '1e9', '"x"', '[', '99999999999999999999999')
    await fc.assert(
      fc.asyncProperty(fc.nat(), number, async (pick, value) => {
        const places = [...text.matchAll(/= (\d+)|, (\d+)/g)]
        const { index, 0: found } = places[pick % places.length]!
        const odd = text.slice(0, index + 2) + value + text.slice(index + found.length)
        const { volumes } = await setOf({ a: pvDisk(lvmId('A'), odd, 10), b: pvDisk(lvmId('B'), odd, 100) }).volumesOf('a')
        for (const { stream } of volumes) {
          for (const { start, length } of stream.extents) expect(start >= 0 && length > 0 && start + length <= 8 * MiB).toBe(true)
          expect((await stream.read(stream.size - 1, 1)).length).toBe(1)
        }
      }),
      { numRuns: 60 },
    )
  })
})
