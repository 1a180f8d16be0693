import { note, ok, problem, type Finding } from './finding.js'

/** What decides whether this user can mount here. */
export interface MountingFacts {
  readonly isRoot: boolean
  /** `uname -r`. */
  readonly kernelRelease: string
  /** Opening /dev/fuse: `ok` or the name of the errno. */
  readonly fuseDevice: string
  /** Its kind, as far as it can be told: `lxc`, `docker`; undefined: none was found. */
  readonly container: string | undefined
  /** CAP_SYS_ADMIN is in effect. */
  readonly maySysAdmin: boolean
  readonly fusermount: { readonly path: string; readonly isSetuid: boolean } | undefined
  /** /etc/fuse.conf; undefined: it is not there. */
  readonly fuseConf: string | undefined
  /** Opening /dev/loop-control: `ok` or the name of the errno. */
  readonly loopControl: string
}

/** Linux 5.4 speaks the oldest protocol that pbsfs knows. */
const OLDEST_KERNEL = [5, 4] as const

export function checkMounting(facts: MountingFacts): Finding[] {
  return [checkKernel(facts), checkContainer(facts), checkDevice(facts), checkFusermount(facts), checkAllowOther(facts), checkLoopDevices(facts)]
}

function checkKernel({ kernelRelease }: MountingFacts): Finding {
  const match = /^(\d+)\.(\d+)/.exec(kernelRelease)
  if (match === null) return note('kernel', `Linux ${kernelRelease}: its version is not understood`, 'pbsfs needs 5.4 or newer.')
  const version = [Number(match[1]), Number(match[2])] as const
  if (isOlder(version, OLDEST_KERNEL)) {
    return problem('kernel', `Linux ${kernelRelease}: its FUSE is too old`, 'Use Linux 5.4 or newer; without a mount, pbsfs ls, cat and the like work here, too.')
  }
  return ok('kernel', `Linux ${kernelRelease}: its FUSE is new enough (5.4)`)
}

function checkContainer({ container, isRoot, maySysAdmin }: MountingFacts): Finding {
  if (isRoot && !maySysAdmin) {
    const where = container === undefined ? 'this environment' : `this container (${container})`
    const remedy = container === 'lxc'
      ? 'Allow it: pct set ID --features fuse=1,nesting=1, then start the container again.'
      : 'Start the container with --cap-add SYS_ADMIN --device /dev/fuse, or mount on the host.' // prettier-ignore
    return problem('container', `root may not mount in ${where}: CAP_SYS_ADMIN is missing`, remedy)
  }
  if (container === undefined) return ok('container', 'not in a container')
  return ok('container', `in a container (${container})${isRoot ? ', where root may mount' : ''}`)
}

function checkDevice({ fuseDevice, container }: MountingFacts): Finding {
  if (fuseDevice === 'ok') return ok('fuse-device', '/dev/fuse can be opened')
  const inContainer = container === 'lxc' ? 'Allow it: pct set ID --features fuse=1, then start the container again.' : 'Start the container with --device /dev/fuse.'
  if (fuseDevice === 'ENOENT') return problem('fuse-device', '/dev/fuse is not there', container === undefined ? 'Load the kernel module: modprobe fuse' : inContainer)
  if (container !== undefined) return problem('fuse-device', `/dev/fuse cannot be opened (${fuseDevice})`, inContainer)
  const denied = fuseDevice === 'EACCES' || fuseDevice === 'EPERM'
  return problem('fuse-device', `/dev/fuse cannot be opened (${fuseDevice})`, denied ? 'Allow it: chmod 666 /dev/fuse' : 'Load the kernel module: modprobe fuse')
}

function checkFusermount({ fusermount, isRoot }: MountingFacts): Finding {
  const remedy = 'Install the package fuse3 (apt install fuse3).'
  if (fusermount === undefined) {
    const text = 'fusermount3 is not there; an ordinary user cannot mount without it'
    return isRoot ? note('fusermount', text, remedy) : problem('fusermount', text, remedy)
  }
  if (fusermount.isSetuid) return ok('fusermount', `${fusermount.path} is there, so ordinary users may mount`)
  const text = `${fusermount.path} is not set-user-ID root: ordinary users cannot mount`
  const repair = `Repair it: chmod u+s ${fusermount.path}`
  return isRoot ? note('fusermount', text, repair) : problem('fusermount', text, repair)
}

function checkAllowOther({ fuseConf, isRoot }: MountingFacts): Finding {
  const isAllowed = fuseConf !== undefined && /^\s*user_allow_other\s*$/m.test(fuseConf)
  if (isAllowed) return ok('allow-other', 'every user may share a mount with -o allow_other')
  if (isRoot) return ok('allow-other', 'root may share a mount with -o allow_other; ordinary users may not (user_allow_other in /etc/fuse.conf)')
  return note('allow-other', 'this user may not share a mount with others (-o allow_other)', 'If that is wanted: write user_allow_other on a line of its own in /etc/fuse.conf.')
}

function checkLoopDevices({ loopControl, isRoot }: MountingFacts): Finding {
  if (!isRoot) return note('loop-devices', 'pbsfs map is for root; without it the files in IMAGE.parts are there', 'For loop devices of disk images: be root.')
  if (loopControl === 'ok') return ok('loop-devices', 'pbsfs map can make block devices of disk images')
  return note('loop-devices', `/dev/loop-control cannot be opened (${loopControl}): no pbsfs map, no mount -o loop`, 'Load the kernel module: modprobe loop; a container needs the device from its host.')
}

function isOlder(version: readonly [number, number], than: readonly [number, number]): boolean {
  return version[0] < than[0] || (version[0] === than[0] && version[1] < than[1])
}
