import { escapeName } from '../bytes/names.js'
import { countEntries, type RestoreSummary, type Unset } from '../restore/restore-options.js'
import type { VerifySummary } from '../restore/verify-tree.js'
import { formatDuration, formatSize } from './parse-size.js'

/** Of the documents of `restore --json`. */
export const RESTORE_VERSION = 1

/** What stands behind "of N entries" and why, for each thing that could not be set. */
const UNSET: Readonly<Record<Unset, string>> = {
  owner: 'the owner could not be set (only root may, and not every file system has owners): %',
  mode: 'the mode could not be set: %',
  setuid: 'setuid and setgid bits left out, because the owner is another one: %',
  acl: 'the access control list could not be set (the file system may have none): %',
  capability: 'capabilities could not be set (only root may, and not every file system has them): %',
  xattr: 'an extended attribute could not be set (trusted.* needs root, and not every file system has them): %',
  time: 'the time could not be set: %',
  device: 'devices left out, because only root may make them: %',
  'hard-link': 'further names of a file are copies, because the target takes no such link: %',
}

/** The summary for a person: what was done, and remarks on what was not. */
export function formatRestore(
  summary: RestoreSummary,
  verified: VerifySummary | undefined,
  target: Uint8Array,
  dryRun: boolean,
  seconds: number,
): { readonly lines: string[]; readonly remarks: string[] } {
  const { files, bytes, folders, symlinks, hardLinks, specials, kept, replaced, conflicts, failed, unset } = summary
  const parts = [
    [files, 'file', 'files'], [folders, 'folder', 'folders'], [symlinks, 'symbolic link', 'symbolic links'],
    [hardLinks, 'hard link', 'hard links'], [specials, 'device, pipe or socket', 'devices, pipes or sockets'],
  ] as const // prettier-ignore
  const named = parts.filter(([count]) => count > 0).map(([count, one, many]) => `${count} ${count === 1 ? one : many}`)
  const what = named.length === 0 ? 'nothing' : named.join(', ')
  const rate = !dryRun && seconds >= 1 && bytes > 0 ? `, ${formatSize(bytes / seconds)}/s` : ''
  const time = dryRun ? '' : ` in ${seconds < 10 ? `${seconds.toFixed(1)}s` : formatDuration(seconds)}${rate}`
  const lines = [`${dryRun ? 'would restore' : 'restored'} ${what} (${formatSize(bytes)}) to ${escapeName(target)}${time}`]
  if (replaced > 0) lines.push(`${replaced} of them in place of something else`)
  if (kept > 0) lines.push(`${kept} were there already`)
  if (verified !== undefined) {
    const { files: compared, bytes: read, different } = verified
    lines.push(`compared ${compared} files (${formatSize(read)}): ${different === 0 ? 'no difference' : `${different} differ`}`)
  }
  const remarks = [...unset].map(([key, count]) => UNSET[key].replace('%', String(count)))
  if (conflicts > 0) remarks.push(`${conflicts} left alone because something else was there`)
  if (failed > 0) remarks.push(`${failed} could not be restored, see above`)
  return { lines, remarks }
}

/** The same for programs; docs/cli.md describes it. */
export function restoreDocument(
  summary: RestoreSummary,
  verified: VerifySummary | undefined,
  target: Uint8Array,
  dryRun: boolean,
  seconds: number,
): Record<string, unknown> {
  const { unset, ...counts } = summary
  return {
    version: RESTORE_VERSION,
    target: escapeName(target),
    dryRun,
    seconds: Number(seconds.toFixed(3)),
    entries: countEntries(summary),
    ...counts,
    unset: Object.fromEntries(unset),
    verified: verified ?? null,
  }
}
