import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { isPbsfsError } from '#src/errors/errors.js'
import { resolveSource, type ResolvedSource, type ResolveOptions } from '#src/source/resolve-source.js'
import { parseSource } from '#src/source/source-string.js'
import { DatastoreWriter } from '../support/datastore-writer.js'

const T = '2026-01-02T00:00:00Z'
let dir: string
let store: string
let options: ResolveOptions

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'pbsfs-resolve-'))
  store = join(dir, 'store')
  const writer = new DatastoreWriter(store)
  const snapshot = writer.snapshot({ ns: ['prod'], type: 'host', id: 'web' }, T)
  snapshot.addStream('root.pxar.didx', [Buffer.from('x')])
  snapshot.addBlob('a.conf.blob', Buffer.from('x'))
  snapshot.finish()
  mkdirSync(join(dir, 'config'))
  writeFileSync(
    join(dir, 'config/datastore.cfg'),
    `datastore: main\n\tpath ${store}\n\tmaintenance-mode offline\n\ndatastore: usb\n\tpath x\n\tbacking-device 12-34\n`,
  )
  options = { configDir: join(dir, 'config') }
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const resolve = (text: string, more: ResolveOptions = {}): Promise<ResolvedSource> => resolveSource(parseSource(Buffer.from(text)), { ...options, ...more })

async function errorOf(text: string): Promise<Error & { tag: string; fields: Record<string, unknown> }> {
  try {
    await resolve(text)
  } catch (error) {
    if (!isPbsfsError(error)) throw error
    return error
  }
  throw new Error('nothing was thrown')
}

it('a datastore, and parts of it', async () => {
  expect(await resolve(store)).toMatchObject({ kind: 'store', path: store, selector: { ns: [] } })
  expect(await resolve(`${store}::ns/prod/host/web/latest/root.pxar:etc`)).toMatchObject({
    kind: 'store',
    path: store,
    selector: { ns: ['prod'], type: 'host', id: 'web', time: 'latest', archive: 'root.pxar', inside: Buffer.from('etc') },
  })
  symlinkSync(store, join(dir, 'link'))
  expect(await resolve(join(dir, 'link'))).toMatchObject({ path: store })
})

it('folders and files inside a datastore', async () => {
  const web = join(store, 'ns/prod/host/web')
  expect(await resolve(join(store, 'ns/prod'))).toMatchObject({ path: store, selector: { ns: ['prod'] } })
  expect(await resolve(`${web}/`)).toMatchObject({ path: store, selector: { ns: ['prod'], type: 'host', id: 'web' } })
  expect(await resolve(`${web}::latest/root.pxar`)).toMatchObject({ selector: { id: 'web', time: 'latest', archive: 'root.pxar' } })
  expect(await resolve(`${web}/${T}`)).toMatchObject({ selector: { id: 'web', time: T } })
  expect(await resolve(`${web}/${T}/root.pxar.didx`)).toMatchObject({ selector: { time: T, archive: 'root.pxar.didx' } })
  expect(await resolve(`${web}/${T}/root.pxar.didx::etc/hosts`)).toMatchObject({ selector: { archive: 'root.pxar.didx', inside: Buffer.from('etc/hosts') } })
  expect(await resolve(`${web}/${T}/root.pxar.didx:::etc`)).toMatchObject({ selector: { inside: Buffer.from('etc') } })
  expect((await errorOf(join(store, '.chunks'))).tag).toBe('usage')
})

it('a configured store, by name or by path', async () => {
  const found = await resolve('main::host')
  expect(found).toMatchObject({ kind: 'store', path: store, selector: { type: 'host' }, configured: { name: 'main' } })
  expect(found).toMatchObject({ maintenance: expect.stringContaining('offline') as unknown })
  expect(await resolve(store)).toMatchObject({ configured: { name: 'main' }, maintenance: expect.any(String) as unknown })
  expect((await errorOf('other')).message).toContain('main, usb')
  expect((await errorOf('usb')).message).toContain('not mounted')
  expect((await errorOf('./main')).message).toMatch(/no such file/)
  expect(await resolve(store, { configDir: join(dir, 'none') })).toMatchObject({ configured: undefined, configProblem: undefined, maintenance: undefined })
})

it('a configuration that cannot be read keeps nothing from being opened, and is told', async () => {
  const configDir = join(dir, 'odd')
  mkdirSync(join(configDir, 'datastore.cfg'), { recursive: true })
  expect(await resolve(store, { configDir })).toMatchObject({ configured: undefined, configProblem: expect.stringContaining('datastore.cfg') as unknown })
})

it('lone archives', async () => {
  for (const name of ['a.pxar', 'b.mpxar', 'b.ppxar', 'c.mpxar', 'd.payload', 'e.txt']) writeFileSync(join(dir, name), '')
  expect(await resolve(join(dir, 'a.pxar'))).toEqual({ kind: 'archive', files: [join(dir, 'a.pxar')], inside: undefined })
  expect(await resolve(`${join(dir, 'a.pxar')}::etc/hosts`)).toMatchObject({ inside: Buffer.from('etc/hosts') })
  expect(await resolve(`${join(dir, 'a.pxar')}:::etc`)).toMatchObject({ inside: Buffer.from('etc') })
  expect(await resolve(join(dir, 'b.mpxar'))).toMatchObject({ files: [join(dir, 'b.mpxar'), join(dir, 'b.ppxar')] })
  expect((await errorOf(join(dir, 'b.ppxar'))).message).toContain('.mpxar')
  expect((await errorOf(join(dir, 'c.mpxar'))).message).toContain('--payload-input')
  expect(await resolve(join(dir, 'c.mpxar'), { payloadInput: Buffer.from(join(dir, 'd.payload')) })).toMatchObject({ files: [join(dir, 'c.mpxar'), join(dir, 'd.payload')] })
  expect((await errorOf(join(dir, 'e.txt'))).tag).toBe('usage')
})

it('what is nothing of the kind', async () => {
  expect(await errorOf(join(dir, 'nowhere'))).toMatchObject({ tag: 'source', fields: { code: 'ENOENT' } })
  expect(await errorOf(dir)).toMatchObject({ tag: 'source' })
  writeFileSync(join(dir, 'x.didx'), '')
  expect((await errorOf(join(dir, 'x.didx'))).message).toContain('chunks')
  expect(await errorOf('/dev/null')).toMatchObject({ tag: 'source', fields: { code: 'ENXIO' } })
})
