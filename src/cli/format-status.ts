import type { LockStatus, MapStatus, MountStatus } from '../daemon/status.js'
import { printable } from './describe-error.js'
import { formatDuration, formatSize } from './parse-size.js'
import { formatTable } from './table.js'

const HEAD = ['MOUNTPOINT', 'STATE', 'PID', 'UP', 'CACHE', 'ERRORS', 'SOURCE']

/** One line for each mount. */
export function formatStatusTable(mounts: readonly MountStatus[]): string {
  const rows = mounts.map((mount) => [
    printable(mount.mountpoint),
    mount.state,
    mount.pid === null ? '-' : String(mount.pid),
    mount.uptimeSeconds === null ? '-' : formatDuration(mount.uptimeSeconds),
    cacheUse(mount),
    mount.session === null ? '-' : String(mount.session.errors.count),
    printable(mount.source),
  ])
  return formatTable([HEAD, ...rows])
}

/** One line for each mapped image. */
export function formatMapTable(maps: readonly MapStatus[]): string {
  const rows = maps.map(({ device, state, file, source }) => [device, state, printable(file), printable(source)])
  return formatTable([['DEVICE', 'STATE', 'FILE', 'SOURCE'], ...rows])
}

/** Everything about one mount. */
export function formatStatusDetail(mount: MountStatus): string {
  const { session } = mount
  const rows: string[][] = [
    ['mountpoint', printable(mount.mountpoint)],
    ['source', printable(mount.source)],
    ['state', mount.state],
    ['pid', mount.pid === null ? '-' : String(mount.pid)],
    ['started', mount.started === null ? '-' : `${mount.started} (${formatDuration(mount.uptimeSeconds ?? 0)} ago)`],
    ['pbsfs', `${mount.pbsfs ?? '-'}, driver ${mount.driver ?? '-'}`],
    ['log', printable(mount.log ?? '-')],
  ]
  if (session !== null) {
    const { cache, requests, errors } = session
    rows.push(
      ['cache', `${cacheUse(mount)}, ${cache.chunks} chunks, ${cache.hits} hits, ${cache.misses} misses`],
      ['requests', `${requests.total}, ${requests.inFlight} in flight, ${formatSize(requests.bytesRead)} read`],
      ['errors', String(errors.count)],
      ...session.sources.map((source) => [source.kind, printable([source.path, source.state, source.message ?? ''].join(' ').trim())]),
      ...lockRows(session.locks),
      ...errors.recent.map((error) => ['', printable(`${error.time} ${error.message} (${error.count} times)`)]),
    )
  }
  return formatTable(rows) + mount.recent.map((line) => `  ${printable(line)}\n`).join('')
}

/** One line for each snapshot that is held. */
function lockRows(locks: LockStatus | undefined): string[][] {
  if (locks === undefined) return []
  if (locks.none !== undefined) return [['locks', printable(`none: ${locks.none}`)]]
  if (locks.held.length === 0) return [['locks', 'none held']]
  return locks.held.map(({ snapshot, openFiles, idleSeconds, complete }, i) => {
    const use = openFiles > 0 ? `${openFiles} open` : idleSeconds > 0 ? `idle ${idleSeconds} s` : 'in use'
    return [i === 0 ? 'locks' : '', printable(`${snapshot} (${use}${complete ? '' : ', not fully locked'})`)]
  })
}

function cacheUse({ session }: MountStatus): string {
  if (session === null) return '-'
  return `${formatSize(session.cache.usedBytes)} of ${formatSize(session.cache.limitBytes)}`
}
