import { expect, test } from 'vitest'
import { checkMounting, type MountingFacts } from '#src/doctor/check-mounting.js'

const GOOD: MountingFacts = {
  isRoot: true,
  kernelRelease: '6.12.1-1-pve',
  fuseDevice: 'ok',
  container: undefined,
  maySysAdmin: true,
  fusermount: { path: '/usr/bin/fusermount3', isSetuid: true },
  fuseConf: '#user_allow_other\n user_allow_other \n',
  loopControl: 'ok',
}

test('a host where everything is there', () => {
  const findings = checkMounting(GOOD)
  expect(findings.map(({ check }) => check)).toEqual(['kernel', 'container', 'fuse-device', 'fusermount', 'allow-other', 'loop-devices'])
  expect(findings.filter(({ state, remedy }) => state !== 'ok' || remedy !== undefined)).toEqual([])
})

test.each<[Partial<MountingFacts>, string, string, string, string?]>([
  [{ kernelRelease: '4.19.0' }, 'kernel', 'problem', 'too old', '5.4 or newer'],
  [{ kernelRelease: '5.3.18' }, 'kernel', 'problem', 'too old', '5.4 or newer'],
  [{ kernelRelease: '5.10.0' }, 'kernel', 'ok', 'new enough'],
  [{ kernelRelease: 'weird' }, 'kernel', 'note', 'not understood', '5.4'],
  [{ fuseDevice: 'ENOENT' }, 'fuse-device', 'problem', 'is not there', 'modprobe fuse'],
  [{ fuseDevice: 'ENOENT', container: 'docker' }, 'fuse-device', 'problem', 'is not there', '--device /dev/fuse'],
  [{ fuseDevice: 'EPERM', container: 'lxc' }, 'fuse-device', 'problem', 'EPERM', 'pct set ID --features fuse=1'],
  [{ fuseDevice: 'EACCES', isRoot: false }, 'fuse-device', 'problem', 'EACCES', 'chmod 666 /dev/fuse'],
  [{ fuseDevice: 'ENODEV' }, 'fuse-device', 'problem', 'ENODEV', 'modprobe fuse'],
  [{ maySysAdmin: false, container: 'docker' }, 'container', 'problem', 'root may not mount in this container (docker)', '--cap-add SYS_ADMIN'],
  [{ maySysAdmin: false, container: 'lxc' }, 'container', 'problem', '(lxc)', 'pct set'],
  [{ maySysAdmin: false, isRoot: false, container: 'docker' }, 'container', 'ok', 'docker'],
  [{ fusermount: undefined }, 'fusermount', 'note', 'fusermount3 is not there', 'apt install fuse3'],
  [{ fusermount: undefined, isRoot: false }, 'fusermount', 'problem', 'fusermount3 is not there', 'apt install fuse3'],
  [{ fusermount: { path: '/x/fusermount3', isSetuid: false }, isRoot: false }, 'fusermount', 'problem', 'set-user-ID', 'chmod u+s /x/fusermount3'],
  [{ fuseConf: '#user_allow_other\n', isRoot: false }, 'allow-other', 'note', 'may not share', 'user_allow_other'],
  [{ fuseConf: undefined }, 'allow-other', 'ok', 'root may share'],
  [{ loopControl: 'ENOENT' }, 'loop-devices', 'note', 'ENOENT', 'modprobe loop'],
  [{ isRoot: false }, 'loop-devices', 'note', 'for root', 'root'],
])('%j', (changes, check, state, text, remedy) => {
  const finding = checkMounting({ ...GOOD, ...changes }).find((found) => found.check === check)
  expect(finding).toMatchObject({ state, text: expect.stringContaining(text) as string })
  if (remedy === undefined) expect(finding?.remedy).toBeUndefined()
  else expect(finding?.remedy).toContain(remedy)
})
