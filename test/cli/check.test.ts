import { chmodSync, chownSync, cpSync, readdirSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, it } from 'vitest'
import { main } from '#src/cli/main.js'
import { TreeView, isRegular } from '#src/browse/tree-view.js'
import { walk } from '#src/browse/walk.js'
import { parseIndex } from '#src/index/parse-index.js'
import { captureOutput } from '../support/captured-output.js'
import { goldenDir } from '../support/golden.js'
import { describeWith } from '../support/needs.js'
import { OpenedTree } from '../support/opened-tree.js'
import { temporaryFolder } from '../support/temporary-folder.js'

interface Document {
  mode: string
  stores: {
    snapshots: { name: string; state: string; recorded: string | null; files: { name: string; problems: string[]; unchecked: string[]; lost: { digest: string; reason: string }[]; hit?: { path: string; wholeIn: string[] }[]; unnamed?: string }[] }[]
    badChunks: { digest: string; reason: string }[]
    chunks: { distinct: number; unchecked: number }
  }[]
} // prettier-ignore

const golden = goldenDir() ?? ''
const keys = ['plain', 'scrypt', 'pbkdf2'].map((name) => join(golden, 'keys', `${name}.key`))

async function check(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const output = captureOutput()
  return { code: await main(['check', ...args], output), ...output.texts }
}

async function checkJson(...args: string[]): Promise<{ code: number; document: Document }> {
  const { code, out, err } = await check(...args, '--json')
  if (out === '') throw new Error(err)
  return { code, document: JSON.parse(out) as Document }
}

describeWith({ golden: true }, 'pbsfs check', () => {
  const folder = temporaryFolder()
  let store: string
  let count = 0

  beforeEach(() => {
    store = join(folder, `store-${++count}`)
    cpSync(join(golden, 'store'), store, { recursive: true, preserveTimestamps: true })
  })

  /** Path of a chunk of an index: that of entry `i`. */
  function chunkOf(index: string, i: number): string {
    const name = Buffer.from(parseIndex(readFileSync(join(store, index)), index).digestAt(i)).toString('hex')
    return join(store, '.chunks', name.slice(0, 4), name)
  }

  it('a whole store is clean, each distinct chunk counted once', async () => {
    const { code, document } = await checkJson(store)
    expect([code, document.mode]).toEqual([0, 'fast'])
    const [checked] = document.stores
    expect(checked!.badChunks).toEqual([])
    expect(new Set(checked!.snapshots.map(({ state }) => state))).toEqual(new Set(['clean']))
    const distinct = new Set<string>()
    for (const path of readdirSync(store, { recursive: true }).map(String).filter((name) => /\.[fd]idx$/.test(name))) {
      const index = parseIndex(readFileSync(join(store, path)), path)
      for (let i = 0; i < index.count; i++) distinct.add(Buffer.from(index.digestAt(i)).toString('hex'))
    }
    expect(checked!.chunks.distinct).toBe(distinct.size)
  })

  it('each kind of damage is found without reading, and says what it is', async () => {
    const index = 'vm/100/2023-12-09T12:00:00Z/drive-scsi0.img.fidx'
    const [gone, short, marked] = [chunkOf(index, 0), chunkOf(index, 9), chunkOf(index, 10)]
    rmSync(gone)
    truncateSync(short, 5)
    renameSync(marked, `${marked}.0.bad`)
    const { code, document } = await checkJson(`${store}::vm/100/2023-12-09T12:00:00Z`)
    expect(code).toBe(3)
    const [snapshot] = document.stores[0]!.snapshots
    expect(snapshot).toMatchObject({ state: 'damaged', recorded: 'ok' })
    const reasons = new Map(document.stores[0]!.badChunks.map(({ digest, reason }) => [digest, reason]))
    expect([gone, short, marked].map((path) => reasons.get(path.slice(-64)))).toEqual([
      'there is no such chunk',
      'it has 5 bytes, too few for any chunk',
      'the server found it bad and put it aside',
    ])
    expect(snapshot!.files.find(({ name }) => name === 'drive-scsi0.img.fidx')!.lost.length).toBeGreaterThanOrEqual(3)
  })

  it.each([
    ['split', 'host/tricky/2023-11-27T12:00:00Z/root.ppxar.didx', 'root.pxar'],
    ['classic', 'host/tricky/2023-11-26T12:00:00Z/root.pxar.didx', 'root.pxar'],
  ])('the files that lose bytes are named, those and no others (%s)', async (_kind, index, archive) => {
    const snapshot = index.slice(0, index.lastIndexOf('/'))
    const total = parseIndex(readFileSync(join(store, index)), index).count
    // Zeros need no chunk to be read: take one that holds more.
    const full = Array.from({ length: total }, (_, i) => chunkOf(index, i)).filter((path) => statSync(path).size > 50_000)
    rmSync(full[full.length >> 1]!)
    const { code, document } = await checkJson(`${store}::${snapshot}`)
    expect(code).toBe(3)
    const hit = document.stores[0]!.snapshots[0]!.files.flatMap((file) => file.hit ?? [])
    const opened = await OpenedTree.open(`${store}::${snapshot}/${archive}`)
    const broken = new Set<string>()
    try {
      const view = new TreeView(opened.tree)
      const root = await view.root()
      const onError = (_error: unknown, path: Buffer): void => void broken.add(`${path.length === 0 ? '.' : path.toString('latin1')}/`)
      for await (const { found, path } of walk(view, root, { onError })) {
        // The largest are sparse: reading them tells nothing that their pieces do not.
        if (!isRegular(found) || found.attr.size > 64 << 20) continue
        try {
          for await (const _piece of view.read(found));
        } catch {
          broken.add(path.toString('latin1'))
        }
      }
    } finally {
      await opened.close()
    }
    expect(broken.size).toBeGreaterThan(0)
    const named = hit.map(({ path }) => path).filter((path) => !path.includes('4500M') && !path.includes('\\'))
    expect(named.sort()).toEqual([...broken].filter((path) => !/[^ -~]|\\/.test(path)).sort())
  })

  it('an archive whose metadata is lost as a whole is named, if not its files', async () => {
    rmSync(chunkOf('host/tricky/2023-11-27T12:00:00Z/root.mpxar.didx', 0))
    const { code, document } = await checkJson(`${store}::host/tricky/2023-11-27T12:00:00Z`)
    expect(code).toBe(3)
    const file = document.stores[0]!.snapshots[0]!.files.find(({ name }) => name === 'root.mpxar.didx')!
    expect(file.lost).toHaveLength(1)
    expect([...(file.hit ?? []), ...(file.unnamed === undefined ? [] : [file.unnamed])].length).toBeGreaterThan(0)
  })

  it('tells which other snapshot has a file whole', async () => {
    rmSync(chunkOf('host/tricky/2023-11-28T12:00:00Z/root.ppxar.didx', 3))
    const { document } = await checkJson(`${store}::host/tricky`)
    const hit = document.stores[0]!.snapshots.flatMap(({ files }) => files.flatMap((file) => file.hit ?? []))
    expect(hit.length).toBeGreaterThan(0)
    for (const { wholeIn } of hit) expect(wholeIn).toEqual([...wholeIn].sort().reverse())
  })

  it('--read finds a flipped byte; encrypted chunks need their key, and without it count as not checked', async () => {
    const [plain, secret] = [chunkOf('host/tricky/2023-11-27T12:00:00Z/root.ppxar.didx', 2), chunkOf('vm/101/2023-12-12T12:00:00Z/drive-scsi1.img.fidx', 1)]
    for (const path of [plain, secret]) {
      const bytes = readFileSync(path)
      bytes[bytes.length - 1]! ^= 1
      writeFileSync(path, bytes)
    }
    expect((await check(`${store}::host/tricky`)).code).toBe(0)
    const read = await checkJson('--read', `${store}::host/tricky`)
    expect([read.code, read.document.stores[0]!.badChunks.map(({ digest }) => digest)]).toEqual([3, [plain.slice(-64)]])
    const without = await checkJson('--read', `${store}::vm/101`)
    expect([without.code, without.document.stores[0]!.snapshots[0]!.state]).toEqual([4, 'unchecked'])
    const withKey = await checkJson('--read', `${store}::vm/101`, '--keyfile', keys[0]!)
    expect([withKey.code, withKey.document.stores[0]!.badChunks.map(({ digest }) => digest)]).toEqual([3, [secret.slice(-64)]])
  })

  it('indices, manifests and small files are checked, and one that is broken hides no other', async () => {
    const index = join(store, 'host/tricky/2023-11-27T12:00:00Z/root.ppxar.didx')
    const bytes = readFileSync(index)
    bytes[5000]! ^= 1
    writeFileSync(index, bytes)
    writeFileSync(join(store, 'host/tricky/2023-11-28T12:00:00Z/index.json.blob'), 'rubbish')
    const conf = join(store, 'vm/100/2023-12-09T12:00:00Z/qemu-server.conf.blob')
    writeFileSync(conf, readFileSync(conf).subarray(0, -1))
    const { code, document } = await checkJson(store)
    expect(code).toBe(3)
    const damaged = document.stores[0]!.snapshots.filter(({ state }) => state === 'damaged').map(({ name }) => name)
    expect(damaged).toEqual(['host/tricky/2023-11-27T12:00:00Z', 'host/tricky/2023-11-28T12:00:00Z', 'vm/100/2023-12-09T12:00:00Z'])
  })

  it('--mark-failed records the failure and changes nothing else; the signature still holds', async () => {
    const snapshot = 'host/signed/2023-12-05T12:00:00Z'
    rmSync(chunkOf(`${snapshot}/root.ppxar.didx`, 0))
    const manifest = join(store, snapshot, 'index.json.blob')
    chmodSync(manifest, 0o640)
    if (process.getuid?.() === 0) chownSync(manifest, 34, 34)
    const before = statSync(manifest)
    const others = readFileSync(join(store, 'host/tricky/2023-11-27T12:00:00Z/index.json.blob'))
    const { code, err } = await check(`${store}::host/signed`, '--mark-failed')
    expect([code, err]).toEqual([3, `${snapshot}: its verification is recorded as failed\n`])
    const after = statSync(manifest)
    expect([after.mode, after.uid, after.gid]).toEqual([before.mode, before.uid, before.gid])
    expect(readdirSync(join(store, snapshot)).filter((name) => name.includes('tmp'))).toEqual([])
    expect(readFileSync(join(store, 'host/tricky/2023-11-27T12:00:00Z/index.json.blob')).equals(others)).toBe(true)
    const output = captureOutput()
    await main(['list', `${store}::host/signed`, '--json'], output)
    const [listed] = (JSON.parse(output.texts.out) as { snapshots: { verify: { state: string; upid: string }; files: unknown[] }[] }).snapshots
    expect(listed!.verify.state).toBe('failed')
    expect(listed!.verify.upid).toMatch(/^UPID:[\w-]+:[0-9A-F]{8}:[0-9A-F]{8}:[0-9A-F]{8}:[0-9A-F]{8}:verify:pbsfs:root@pam:$/)
    // Opening it with its key verifies the signature.
    const looked = captureOutput()
    expect(await main(['ls', `${store}::${snapshot}/root.pxar`, '--keyfile', keys[0]!], looked)).toBe(0)
    expect(looked.texts.err).not.toMatch(/signature|verif/)
  })

  it('is no command for what is no datastore', async () => {
    expect((await check(join(golden, 'truth'))).code).not.toBe(0)
  })
})
