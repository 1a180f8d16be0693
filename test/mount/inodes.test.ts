import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { exampleStore, goldenDir } from '../support/golden.js'
import { MountRig } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { quote, runProgram, sh } from '../support/run-program.js'

const golden = goldenDir() ?? ''

let rig: MountRig
beforeEach(() => {
  rig = new MountRig()
})
afterEach(() => rig.cleanUp())

/** `inode type links path` of everything below, ended by NUL; what cannot be entered is left out. */
async function inodes(folder: string): Promise<string[]> {
  const { out } = await runProgram('find', ['.', '-printf', '%i %y %n %P\\0'], { cwd: folder })
  return out.split('\0').slice(0, -1).sort()
}

/** Breaks of the rule that one number is one file, with as many names as it says. */
function findConflicts(lines: readonly string[]): string[] {
  const files = new Map<string, string[]>()
  for (const line of lines) {
    const inode = line.slice(0, line.indexOf(' '))
    files.set(inode, [...(files.get(inode) ?? []), line])
  }
  return [...files.values()].flatMap((names) => {
    const [, type, links] = names[0]!.split(' ')
    const archives = new Set(names.map((line) => /^\d+ \w \d+ (.*\.pxar)\//.exec(line)?.[1]))
    if (type === 'd') return names.length === 1 ? [] : names
    return names.length === Number(links) && archives.size === 1 ? [] : names
  })
}

describeWith({ fuse: true, root: true, golden: true }, 'inode numbers', () => {
  it('are one for each file of a whole store, and link counts are the number of its names', async () => {
    const { path } = await rig.mount(join(golden, 'store'))
    const all = await inodes(path)
    expect(all.length).toBeGreaterThan(30_000)
    expect(all.filter((line) => line.split(' ')[2] !== '1').length).toBeGreaterThan(10)
    expect(findConflicts(all)).toEqual([])
  })

  const sources: [name: string, source: string][] = [
    ['a snapshot with two archives', join(golden, 'store::host/tricky/2023-11-26T12:00:00Z')],
    ['an archive of a store', join(golden, 'store::host/tricky/2023-11-27T12:00:00Z/root.pxar')],
    ['a lone archive', join(golden, 'archives/small.mpxar')],
  ]
  it.each(sources)('are the same in each mount of %s, whatever is looked at first', async (_name, source) => {
    const first = await rig.mount(source, { name: 'first' })
    const forward = await inodes(first.path)
    const second = await rig.mount(source, { name: 'second' })
    const folders = forward.filter((line) => line.split(' ')[1] === 'd').map((line) => line.replace(/^(?:\S+ ){3}/, ''))
    // The other way round: the last and deepest folders first.
    const shallow = folders.filter((name) => name.length < 1000).sort().reverse().slice(0, 200)
    await sh(`ls -f ${shallow.map((name) => quote(Buffer.from(`./${name}`, 'latin1'))).join(' ')} > /dev/null`, { cwd: second.path })
    expect(await inodes(second.path)).toEqual(forward)
    expect(findConflicts(forward)).toEqual([])
  })
})

describeWith({ fuse: true }, 'inode numbers of the example store', () => {
  it('differ between files, and agree between two mounts', async () => {
    const one = await rig.mount(exampleStore, { name: 'one' })
    const two = await rig.mount(exampleStore, { name: 'two' })
    const lines = await inodes(one.path)
    expect(lines.length).toBeGreaterThan(90)
    expect(findConflicts(lines)).toEqual([])
    expect(await inodes(two.path)).toEqual(lines)
  })
})
