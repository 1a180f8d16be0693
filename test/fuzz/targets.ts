import { deepStrictEqual } from 'node:assert'
import { crc32 } from 'node:zlib'
import { parseMachineConfig } from '#src/boot/machine-config.js'
import { buildQemuCommand } from '#src/boot/qemu-command.js'
import { decodeBlobFile, decodeChunk } from '#src/blob/decode.js'
import type { ReadAt } from '#src/bytes/read-at.js'
import { parseMountOptions } from '#src/fuse/mount-options.js'
import { checkIndexEnds, LAST_ENTRY_SIZE, parseIndex } from '#src/index/parse-index.js'
import { parseKeyFile } from '#src/keys/key-file.js'
import { parseMasterKey } from '#src/keys/master-key.js'
import { extractPem } from '#src/keys/paper-key.js'
import { verifySignature } from '#src/keys/signature.js'
import { openKeyFile } from '#src/keys/unlock-key.js'
import { BlockMap } from '#src/overlay/block-map.js'
import { encodeHeader } from '#src/overlay/map-header.js'
import { PxarArchive } from '#src/pxar-decode/archive.js'
import { Catalog } from '#src/pxar-decode/catalog.js'
import { createRecord, KIND_DIR, KIND_FILE, KIND_SYMLINK } from '#src/pxar-decode/entry-record.js'
import { findPath } from '#src/pxar-decode/find-path.js'
import { parseDatastoreConfig } from '#src/source/datastore-config.js'
import { archivesOf } from '#src/source/archives.js'
import { parseManifest } from '#src/source/manifest.js'
import { parseSelector, parseSource } from '#src/source/source-string.js'
import { parseVolumeGroup } from '#src/volumes/lvm/volume-group.js'
import { DiskSet } from '#src/volumes/disk-set.js'
import { encodeCatalog } from '../support/catalog-encoder.js'
import {
  compressZstd, digestOf, encodeBlob, encodeDynamicIndex, encodeFixedIndex, encodeManifestJson, encodeRawBlob, testKey,
} from '../support/datastore-writer.js' // prettier-ignore
import { noise } from '../support/chunk-rig.js'
import { FakeKernel, initIn, opcode, packRequest, readIn, u32, u64 } from '../support/fake-kernel.js'
import { dir as fakeDir, FakeTree, file as fakeFile, link as fakeLink } from '../support/fake-tree.js'
import { encodeKeyFile } from '../support/key-writer.js'
import { MemoryStream } from '../support/memory-stream.js'
import { PowerFile } from '../support/power-file.js'
import { dir, encodeArchive, file, hardlink, symlink } from '../support/pxar-encoder.js'
import { diskSeeds, fixDisk, lvmText } from './disk-seeds.js'

/** Something that reads bytes it cannot trust. `run` throws when they are read wrong; named errors are right. */
export interface Target {
  readonly name: string
  readonly seeds: readonly Buffer[]
  /** Share of all cases. */
  readonly weight: number
  /** Changes stay in the first bytes, where the structure is. */
  readonly region?: number
  /** Makes checksums right again, so that what lies behind them is reached; done to every second case. */
  readonly repair?: (bytes: Buffer) => void
  run(bytes: Buffer): void | Promise<void>
}

/** Reads one case may make: far above what any real one of this length needs. */
const MAX_READS = 20_000
/** Directories, and entries in them, that one case may have looked at. */
const MAX_STEPS = 5_000

/** A case went on for longer than its length allows. */
export class EndlessError extends Error {}

function streamOf(bytes: Buffer, name = 'fuzz'): ReadAt {
  let reads = 0
  return new MemoryStream(bytes, {
    name,
    onRead: () => {
      if (++reads > MAX_READS) throw new EndlessError(`${name}: more than ${MAX_READS} reads of ${bytes.length} bytes`)
    },
  })
}

const PLAIN = noise(3000, 5)
const PLAIN_DIGEST = digestOf(PLAIN)
const KEYED_DIGEST = digestOf(PLAIN, testKey)

function fixBlob(bytes: Buffer): void {
  const head = bytes.length > 0 && bytes[0] === 0x7b ? 44 : 12
  if (bytes.length > head) bytes.writeUInt32LE(crc32(bytes.subarray(head)), 8)
}

function runChunk(bytes: Buffer): void {
  for (const [digest, key] of [[PLAIN_DIGEST, undefined], [KEYED_DIGEST, testKey]] as const) {
    const target = new Uint8Array(PLAIN.length)
    let decoded = false
    try {
      decodeChunk(bytes, digest, target, undefined, key)
      decoded = true
    } finally {
      // Behind a digest there is one content, whatever was changed around it.
      if (decoded) deepStrictEqual(Buffer.from(target).equals(PLAIN), true, 'a chunk passed with other content')
    }
  }
}

function runIndex(bytes: Buffer): void {
  for (const name of ['a.didx', 'a.fidx', 'a']) {
    try {
      checkIndexEnds(bytes.subarray(0, 4096), bytes.subarray(Math.max(0, bytes.length - LAST_ENTRY_SIZE)), bytes.length, name)
    } finally {
      const index = parseIndex(bytes, name)
      let end = 0
      for (let i = 0; i < Math.min(index.count, 64); i++) {
        if (index.startOf(i) !== end || index.endOf(i) <= end || index.chunkAt(end) !== i) throw new Error(`chunk ${i} of an index has no place`)
        end = index.endOf(i)
      }
    }
  }
}

async function runArchive(meta: Buffer, payload?: Buffer): Promise<void> {
  const archive = await PxarArchive.open({ meta: streamOf(meta, 'meta'), ...(payload === undefined ? {} : { payload: streamOf(payload, 'payload') }) })
  const pending = [archive.rootEnd]
  const seen = new Set<number>()
  let steps = 0
  let failure: unknown
  while (pending.length > 0) {
    const end = pending.pop()!
    if (seen.has(end)) throw new Error('a directory is found twice: the tree has a cycle')
    seen.add(end)
    const found = await archive.openDir(end).catch((error: unknown) => {
      failure = error
    })
    if (found === undefined) continue
    for (let i = 0; i < found.count; i++) {
      if (++steps > MAX_STEPS) throw new EndlessError('more entries than an archive of this length can have')
      const record = createRecord()
      found.entryAt(i, record)
      const name = Buffer.from(found.nameAt(i))
      if (name.length === 0 || name.includes(0) || name.includes(0x2f) || name.equals(Buffer.from('.')) || name.equals(Buffer.from('..'))) {
        throw new Error(`a name that no path can have was let through: ${name.toString('hex')}`)
      }
      if (found.find(name) !== i) throw new Error('a listed name is not found')
      if (record.kind === KIND_DIR) pending.push(record.end)
      try {
        await archive.attributes(record)
        if (record.kind === KIND_SYMLINK) await archive.readLink(record)
        if (record.kind === KIND_FILE) {
          const { stream, start, size } = await archive.contentOf(record)
          if (start < 0 || start + size > stream.size) throw new Error('a content lies outside of its stream')
        }
      } catch (error) {
        if (!(error instanceof Error) || !('tag' in error)) throw error
        failure = error
      }
    }
  }
  await findPath(archive, meta.length >>> 1, false)
  if (failure !== undefined) throw failure
}

const xattrs = [['user.one', Buffer.from('1')], ['security.capability', Buffer.alloc(20)]] as const
const target = file('a', noise(200, 3), { xattrs })
const acl = { aclUsers: [[5, 7], [6, 4]], aclGroups: [[8, 5]], aclGroupObj: 5, projid: 9n } as const
const tree = dir('', [
  target,
  dir('sub', [file('b', noise(50, 5), acl), symlink('l', '../a'), hardlink('h', target, 'a')], {
    aclDefault: [7n, 5n, 0n, 7n],
    aclDefaultUsers: [[5, 7]],
  }),
  dir('void', []),
])
const classic = encodeArchive(tree)
const split = encodeArchive(tree, { split: true })

const catalogTree = dir('', [file('a', noise(200, 3)), dir('sub', [file('b', noise(50, 5)), symlink('l', '../a')])])

async function runCatalog(bytes: Buffer): Promise<void> {
  const catalog = await Catalog.open(streamOf(bytes))
  let steps = 0
  for (const { name } of await catalog.archives()) {
    await catalog.walk(Buffer.from(name).toString(), () => {
      if (++steps > MAX_STEPS) throw new EndlessError('more entries than a catalog of this length can have')
    })
  }
}

const manifest = encodeManifestJson({
  'backup-type': 'host',
  'backup-id': 'web',
  'backup-time': 1767225600,
  files: ['root.mpxar.didx', 'root.ppxar.didx', 'catalog.pcat1.didx', 'drive.img.fidx', 'some.conf.blob'].map((filename, i) => ({
    filename,
    size: 1000 * i,
    csum: 'ab'.repeat(32),
    'crypt-mode': i === 2 ? 'encrypt' : 'none',
  })),
  signature: 'cd'.repeat(32),
  unprotected: { notes: 'a\nb', 'key-fingerprint': Array(32).fill('ef').join(':'), verify_state: { state: 'ok', upid: 'UPID:a:0:0' } },
})

const FUSE_SEEDS: readonly Buffer[] = [
  packRequest(opcode('INIT'), 0n, 2n, initIn(7, 40, 0xffff_ffff, 0xffff_ffff)),
  packRequest(opcode('LOOKUP'), 1n, 4n, Buffer.from('folder\0')),
  packRequest(opcode('GETATTR'), 1n, 6n, Buffer.alloc(16)),
  packRequest(opcode('READ'), 3n, 8n, readIn(0, 4096)),
  packRequest(opcode('READDIRPLUS'), 1n, 10n, readIn(0, 4096)),
  packRequest(opcode('READDIR'), 1n, 12n, readIn(2, 200)),
  packRequest(opcode('GETXATTR'), 3n, 14n, Buffer.concat([u32(100, 0), Buffer.from('user.a\0')])),
  packRequest(opcode('LISTXATTR'), 3n, 16n, u32(0, 0)),
  packRequest(opcode('LSEEK'), 3n, 18n, Buffer.concat([u64(0, 5), u32(3, 0)])),
  packRequest(opcode('READLINK'), 4n, 20n),
  packRequest(opcode('STATFS'), 1n, 22n),
  packRequest(opcode('OPEN'), 3n, 24n, u32(0, 0)),
  packRequest(opcode('BATCH_FORGET'), 0n, 26n, Buffer.concat([u32(2, 0), u64(3, 1, 4, 1)])),
  packRequest(opcode('INTERRUPT'), 0n, 28n, u64(8)),
]

async function runRequest(bytes: Buffer): Promise<void> {
  const kernel = new FakeKernel(
    new FakeTree(fakeDir({ folder: fakeDir({}), text: fakeFile(noise(9000, 3), { xattrs: { 'user.a': Buffer.from('b') } }), link: fakeLink('text') })),
  )
  kernel.sendRaw(FUSE_SEEDS[0]!)
  for (let i = 0; i < 20 && kernel.exchange.waiting > 0; i++) await new Promise((resolve) => setImmediate(resolve))
  const before = kernel.replies.length
  kernel.sendRaw(bytes)
  for (let i = 0; i < 200 && kernel.exchange.waiting > 0; i++) await new Promise((resolve) => setImmediate(resolve))
  if (kernel.replies.length > before + 1) throw new Error('two replies to one request')
  const bug = kernel.log.find(({ message }) => message.startsWith('bug'))
  if (bug !== undefined) throw new Error(`${bug.message}: ${JSON.stringify(bug.fields)}`)
}

function runKeys(bytes: Buffer): void {
  const opened = parseKeyFile(bytes, 'key')
  if (opened.kdf === undefined) openKeyFile(opened)
}

const keyFile = encodeKeyFile()

/** Every structure that comes from a store, a disk in it, a user's file or the kernel. */
export const TARGETS: readonly Target[] = [
  {
    name: 'chunk',
    weight: 16,
    seeds: [
      encodeBlob(PLAIN, 'plain'), encodeBlob(PLAIN, 'zstd'), encodeBlob(PLAIN, 'encrypted', { key: testKey }),
      encodeBlob(PLAIN, 'encrypted-zstd', { key: testKey }), encodeRawBlob(compressZstd(Buffer.alloc(4 << 20)), 'zstd'),
    ], // prettier-ignore
    repair: fixBlob,
    run: runChunk,
  },
  { name: 'blob', weight: 6, seeds: [encodeBlob(manifest, 'zstd'), encodeBlob(manifest, 'plain')], repair: fixBlob, run: (bytes) => void decodeBlobFile(bytes, 'fuzz.blob', 1 << 20) },
  {
    name: 'index',
    weight: 12,
    seeds: [
      encodeFixedIndex(300_000, [PLAIN_DIGEST, KEYED_DIGEST, PLAIN_DIGEST, PLAIN_DIGEST, KEYED_DIGEST], { chunkSize: 65_536 }),
      encodeDynamicIndex([{ end: 100, digest: PLAIN_DIGEST }, { end: 5000, digest: KEYED_DIGEST }, { end: 70_000, digest: PLAIN_DIGEST }]),
    ], // prettier-ignore
    run: runIndex,
  },
  { name: 'manifest', weight: 10, seeds: [manifest], run: (bytes) => void archivesOf(parseManifest(bytes, 'index.json')) },
  { name: 'signature', weight: 2, seeds: [manifest], run: (bytes) => void verifySignature(bytes, 'index.json', 'cd'.repeat(32), testKey.encKey) },
  { name: 'pxar', weight: 20, seeds: [classic.meta], run: (bytes) => runArchive(bytes) },
  { name: 'pxar-split', weight: 12, seeds: [split.meta], run: (bytes) => runArchive(bytes, split.payload) },
  { name: 'pxar-payload', weight: 3, seeds: [split.payload!], run: (bytes) => runArchive(split.meta, bytes) },
  { name: 'catalog', weight: 8, seeds: [encodeCatalog({ 'root.pxar': catalogTree })], run: runCatalog },
  { name: 'key-file', weight: 5, seeds: [keyFile, paperKey(keyFile)], run: runKeys },
  { name: 'master-key', weight: 1, seeds: [Buffer.from('-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n')], run: runMaster },
  { name: 'disk', weight: 4, seeds: diskSeeds(), region: 24 * 1024, repair: fixDisk, run: runDisk },
  { name: 'lvm-text', weight: 4, seeds: [Buffer.from(lvmText(), 'latin1')], run: (bytes) => void parseVolumeGroup(bytes.toString('latin1'), 'lvm') },
  { name: 'fuse-request', weight: 10, seeds: FUSE_SEEDS, run: runRequest },
  { name: 'mount-options', weight: 5, seeds: [Buffer.from('uid=1000,gid=5,umask=022,allow_other,max_read=131072,fsname=a\\,b,"x,y"')], run: (bytes) => void parseMountOptions([bytes.toString('latin1')]) },
  { name: 'disk-map', weight: 4, seeds: [diskMapSeed()], repair: fixDiskMap, run: runDiskMap },
  { name: 'machine-config', weight: 2, seeds: [Buffer.from('boot: order=scsi0;net0\nbios: ovmf\nscsi0: a:b,size=1G,ssd=1\nmemory: 2048\n[snap]\nscsi1: a\n')], run: runMachine },
  { name: 'source', weight: 3, seeds: [Buffer.from('/mnt/store::ns/a/host/web/2026-01-01T00:00:00Z/root.pxar:etc/fst\\x20ab')], run: runSource },
  { name: 'datastore-cfg', weight: 2, seeds: [Buffer.from('datastore: main\n\tpath /mnt/main\n\tmaintenance-mode type=offline,message="a b"\n\ndatastore: two\n\tpath /x\n')], run: (bytes) => void parseDatastoreConfig(bytes.toString('utf8')) },
] // prettier-ignore

/** A map of 41 blocks. */
function diskMapSeed(): Buffer {
  const header = encodeHeader({ size: 40 * 65_536 + 5, blockSize: 65_536, identity: 'ab', image: 'vm/100/x/drive' }, 'boot', 3 * 4096)
  return Buffer.concat([header, Buffer.alloc(4096, 0), Buffer.alloc(4096, 0)])
}

function fixDiskMap(bytes: Buffer): void {
  if (bytes.length < 28) return
  const length = Math.min(bytes.readUInt32LE(20), bytes.length - 28)
  bytes.writeUInt32LE(crc32(bytes.subarray(28, 28 + length)), 24)
}

async function runDiskMap(bytes: Buffer): Promise<void> {
  const file = new PowerFile(0, () => 0)
  file.bytes = Buffer.concat([bytes, Buffer.alloc(4096)])
  const { map: looked } = await BlockMap.read(file, 'fuzz.map', 'boot')
  const map = await BlockMap.open(file, 'fuzz.map', 'boot')
  if (looked.count !== map.count) throw new Error(`${looked.count} blocks when it is only looked at, ${map.count} when it is opened`)
  let found = 0
  for (let block = map.next(0, true); block < map.blocks; block = map.next(block + 1, true)) if (++found > 2 * 8 * bytes.length) throw new EndlessError('more blocks than bits')
  if (found !== map.count) throw new Error(`${found} blocks, ${map.count} counted`)
}

function runMachine(bytes: Buffer): void {
  const machine = parseMachineConfig(bytes, 'qemu-server.conf')
  const disks = machine.disks.map(({ name }) => ({ name, uri: 'nbd://x', size: 1 }))
  buildQemuCommand(machine, disks, { hasKvm: false, freeMemory: 1024, screen: { window: 'gtk' }, findFirmware: () => '/x' }, { network: true })
}

function paperKey(key: Buffer): Buffer {
  return Buffer.concat([Buffer.from('Subject: x\n-----BEGIN PROXMOX BACKUP KEY-----\n'), key, Buffer.from('\n-----END PROXMOX BACKUP KEY-----\n')])
}

function runMaster(bytes: Buffer): void {
  extractPem(bytes.toString('utf8'))
  parseMasterKey(bytes, 'master.pem')
}

function runSource(bytes: Buffer): void {
  const { selector } = parseSource(bytes)
  if (selector !== undefined) parseSelector(selector)
}

async function runDisk(bytes: Buffer): Promise<void> {
  const { volumes } = await new DiskSet([{ name: 'drive', stream: streamOf(bytes, 'drive') }]).volumesOf('drive')
  const names = new Set<string>()
  for (const { name, stream } of volumes) {
    if (names.has(name) || /[/\0]/.test(name) || name === '' || Buffer.byteLength(name) > 255) throw new Error(`volume name ${JSON.stringify(name)}`)
    names.add(name)
    if (stream.size > 0) await stream.read(0, Math.min(stream.size, 512))
  }
}
