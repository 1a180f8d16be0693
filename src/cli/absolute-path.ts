import { fromRoot } from '../daemon/mountpoint.js'

/** A path as it was typed, from the root on: without `.` and slashes that say nothing; `..` stays, for it may lead through a link. */
export function absolutePath(path: Buffer): Buffer {
  const full = fromRoot(path)
  const names = full.toString('latin1').split('/').filter((name) => name !== '' && name !== '.')
  return Buffer.from(`/${names.join('/')}`, 'latin1')
}
