import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { showName } from '#src/fuse-native/names.js'
import { goldenDir } from '../support/golden.js'
import { MountRig } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { runProgram } from '../support/run-program.js'
import { readTruth, type Truth } from '../support/truth.js'

/** Reads 5 GB through the library. */
const LONG_MS = 280_000

const golden = goldenDir() ?? ''

/** Runs golden/truth.py, which would end at the first link it cannot read. */
const TOLERANT = `
import os, sys
read = os.readlink
def readlink(path):
    try: return read(path)
    except OSError as error: return b'errno %d' % error.errno
os.readlink = readlink
sys.argv = sys.argv[1:]
exec(open(sys.argv[0]).read())
`

let rig: MountRig
beforeAll(() => {
  rig = new MountRig()
})
afterAll(() => rig.cleanUp())

/** The truth as far as the library can carry it. */
function carried(entry: Truth): Truth {
  const shown = (path: string) => {
    const parts = Buffer.from(path, 'hex').toString('latin1').split('/')
    return Buffer.from(parts.map((part) => showName(Buffer.from(part, 'latin1'))).join('/')).toString('hex')
  }
  const ms = BigInt(entry.mtime_ns) / 1_000_000n
  return {
    ...entry,
    path: shown(entry.path),
    mtime_ns: String(ms < 0n || BigInt(entry.mtime_ns) < 0n ? 0n : ms * 1_000_000n),
    ...(entry.same_file_as === undefined ? {} : { same_file_as: shown(entry.same_file_as) }),
  }
}

describeWith(
  { fuse: true, fuseNative: true, root: true, golden: true, programs: { python3: 'python3', zstd: 'zstd', getfattr: 'attr' } },
  'the real server’s archives through fuse-native',
  () => {
    it.each([
      ['host/tricky/2023-11-26T12:00:00Z', 'host-tricky-1'],
      ['host/signed/latest', 'host-crypt'],
      ['ns/prod/ns/eu/host/tricky/latest', 'ns-prod-eu-host-tricky'],
    ])('%s differs only in what docs/fuse-native.md names', async (snapshot, name) => {
      const { path } = await rig.mount(join(golden, 'store'), { name, args: ['--driver', 'fuse-native'] })
      const args = ['-c', TOLERANT, join(golden, 'truth.py'), join(path, snapshot, 'root.pxar'), '--keep-lost']
      const { code, out, err } = await runProgram('python3', args, { timeoutMs: LONG_MS })
      expect([code, err]).toEqual([0, ''])
      const got = new Map(out.trim().split('\n').map((line) => JSON.parse(line) as Truth).map((entry) => [entry.path, entry])) // prettier-ignore
      const differences: unknown[] = []
      const truth = readTruth(golden, name).map(carried)
      for (const expected of truth) {
        const found = got.get(expected.path)
        const target = Buffer.from(expected.target ?? '', 'hex')
        const wanted = target.equals(Buffer.from(target.toString())) ? expected : { ...expected, target: Buffer.from('errno 95').toString('hex') }
        // A directory's link count is the file system's own business.
        const nlink = expected.type === 'dir' ? { nlink: 0 } : {}
        const [a, b] = [{ ...wanted, ...nlink }, found && { ...found, ...nlink }].map((entry) => JSON.stringify(entry, sortKeys))
        if (a !== b) differences.push([Buffer.from(expected.path, 'hex').toString(), a, b])
      }
      expect(differences.slice(0, 10)).toEqual([])
      expect(got.size).toBe(truth.length)
    }, LONG_MS)
  },
)

function sortKeys(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}
