import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { exampleStore } from '../support/golden.js'
import { MountRig } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { dir, encodeArchive, file } from '../support/pxar-encoder.js'
import { quote, sh } from '../support/run-program.js'

let rig: MountRig
beforeEach(() => {
  rig = new MountRig()
})
afterEach(() => rig.cleanUp())

const ODD_BYTES = Buffer.from('a\xff\xfe\x80 \xc3(b', 'latin1')

/** A path in the rig's folder with a name of any bytes. */
const odd = (name: Buffer) => Buffer.concat([Buffer.from(`${rig.folder}/`), name])

/** Names in a folder, as latin1. */
function namesIn(folder: string | Buffer): string[] {
  return readdirSync(folder as string, { encoding: 'buffer' }).map((name) => name.toString('latin1')).sort() // prettier-ignore
}

describeWith({ fuse: true }, 'names are bytes', () => {
  it('in the mount', async () => {
    const { path } = await rig.mount(exampleStore)
    const letters = join(path, 'host/web/latest/root.pxar/home/anna/letters')
    expect(namesIn(letters)).toContain('caf\xe9.txt')
    const file = Buffer.concat([Buffer.from(`${letters}/`), Buffer.from('caf\xe9.txt', 'latin1')])
    expect(statSync(file).size).toBe(readFileSync(file).length)
    expect(statSync(join(letters, 'café.txt'), { throwIfNoEntry: false })).toBeUndefined()
    expect(await sh(`cat < ${quote(file)}`)).toBe(readFileSync(file, 'latin1'))
  })

  it('in a selector, as they are or as \\xNN', async () => {
    const selector = `${exampleStore}::host/web/latest/root.pxar:home/anna/letters/caf`
    const escaped = await rig.mount(`${selector}\\xe9.txt`, { name: 'escaped' })
    expect(namesIn(escaped.path)).toEqual(['caf\xe9.txt'])
    const raw = await rig.mount(Buffer.from(`${selector}\xe9.txt`, 'latin1'), { name: 'raw' })
    expect(namesIn(raw.path)).toEqual(['caf\xe9.txt'])
  })

  const places: [what: string, name: Buffer][] = [
    ['umlauts', Buffer.from('Sicherung für Jürgen')],
    ['spaces and quotes', Buffer.from(` it's "here" $HOME \\ * `)],
    ['a comma, an equals sign, a colon', Buffer.from('a,b=c:d')],
    ['a newline and a tab', Buffer.from('two\nlines\tand more')],
    ['bytes that are not UTF-8', ODD_BYTES],
  ]
  it.each(places)('mountpoint and store with %s', async (_what, name) => {
    mkdirSync(odd(Buffer.concat([name, Buffer.from('.d')])))
    const inner = Buffer.concat([name, Buffer.from('.d/'), name])
    const store = odd(Buffer.concat([name, Buffer.from('.store')]))
    cpSync(exampleStore, rig.at('store'), { recursive: true })
    await sh(`mv ${quote(rig.at('store'))} ${quote(store)}`)
    // In SOURCE a backslash only counts in front of xNN.
    const mounted = await rig.mount(store, { name: inner })
    expect(namesIn(mounted.bytes)).toEqual(['host', 'ns', 'vm'])
    const status = await rig.pbsfs(['status', '--json'])
    const { mounts } = JSON.parse(status.out) as { mounts: { pid: number; mountpoint: string; state: string }[] }
    const own = mounts.find(({ pid }) => pid === mounted.pid)!
    expect(own.state).toBe('running')
    expect(unescape(own.mountpoint)).toBe(mounted.bytes.toString('latin1'))
    const { code, err } = await rig.umount(mounted)
    expect([code, err]).toEqual([0, ''])
    // It was made by pbsfs, and is gone with the mount.
    expect(namesIn(odd(Buffer.concat([name, Buffer.from('.d')])))).toEqual([])
  })

  it('what `mount` prints can be pasted', async () => {
    const { output } = await rig.mount(exampleStore, { name: ODD_BYTES })
    const line = /^leave it with: pbsfs (umount .*)$/m.exec(output)![1]!
    const left = await sh(`"$NODE" "$PBSFS" ${line}`, {
      env: { ...rig.who.env, NODE: process.execPath, PBSFS: join(import.meta.dirname, '../../bin/pbsfs.js') },
    })
    expect(left).toContain('unmounted')
    expect(rig.remains()).toEqual([])
  })

  it('a lone archive with a name of any bytes, and such names in it', async () => {
    const names = ['plain', 'new\nline', 'caf\xe9', '\xff\xff', ' ', '-rf', 'x'.repeat(255), '\x01\x1b[31m', '...', 'back\\slash', '\\xe9']
    const archive = encodeArchive(dir('', names.map((name) => file(name, `content of ${name.length}`)))).meta
    writeFileSync(odd(Buffer.from('b\xe4ckup.pxar', 'latin1')), archive)
    const { bytes } = await rig.mount(odd(Buffer.from('b\xe4ckup.pxar', 'latin1')))
    expect(namesIn(bytes)).toEqual([...names].sort())
    for (const name of names) {
      const path = Buffer.concat([bytes, Buffer.from('/'), Buffer.from(name, 'latin1')])
      expect(readFileSync(path, 'latin1')).toBe(`content of ${name.length}`)
    }
  })
})

/** Undoes \xNN, on latin1. */
function unescape(text: string): string {
  return text.replaceAll(/\\x([0-9a-f]{2})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 16)))
}
