import { expect, test } from 'vitest'
import { checkHost, type HostFacts } from '#src/doctor/check-host.js'

const MIB = 2 ** 20
const GOOD: HostFacts = {
  node: '20.20.2',
  oldestNode: '20.19',
  packages: [{ name: 'koffi', failure: undefined }],
  fuseNative: undefined,
  availableMemory: 4096 * MIB,
  memoryLimit: undefined,
  cacheBytes: 256 * MIB,
  isRoot: false,
  backupGroup: 'member',
}

test('a host where everything is there', () => {
  expect(checkHost(GOOD).map(({ check, state }) => [check, state])).toEqual([
    ['node', 'ok'], ['packages', 'ok'], ['fuse-native', 'ok'], ['memory', 'ok'], ['group', 'ok'],
  ]) // prettier-ignore
})

test.each<[Partial<HostFacts>, string, string, string, string?]>([
  [{ node: '20.18.9' }, 'node', 'problem', 'too old', '20.19'],
  [{ node: '18.20.0' }, 'node', 'problem', 'too old', '20.19'],
  [{ node: '20.19.0' }, 'node', 'ok', '20.19.0'],
  [{ node: '22.1.0' }, 'node', 'ok', '22.1.0'],
  [{ packages: [{ name: 'koffi', failure: 'no build' }] }, 'packages', 'problem', 'koffi does not load: no build', 'npm ci'],
  [{ fuseNative: 'libfuse.so.2 is not there' }, 'fuse-native', 'note', 'libfuse.so.2', 'Only needed'],
  [{ availableMemory: 300 * MIB }, 'memory', 'problem', '300 MiB', '--cache-size 64M'],
  [{ memoryLimit: 128 * MIB }, 'memory', 'problem', 'limited to 128 MiB', '--cache-size 64M'],
  [{ memoryLimit: 1024 * MIB }, 'memory', 'ok', 'limited to 1024 MiB'],
  [{ backupGroup: 'not a member' }, 'group', 'note', 'not in the group backup', 'usermod -aG backup'],
  [{ backupGroup: 'none', isRoot: true }, 'group', 'ok', 'root'],
])('%j', (changes, check, state, text, remedy) => {
  const finding = checkHost({ ...GOOD, ...changes }).find((found) => found.check === check)
  expect(finding).toMatchObject({ state, text: expect.stringContaining(text) as string })
  if (remedy !== undefined) expect(finding?.remedy).toContain(remedy)
})
