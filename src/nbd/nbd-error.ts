import { NodeError, PbsfsError } from '../errors/errors.js'
import { NBD_EINVAL, NBD_EIO, NBD_ENOSPC, NBD_EPERM, NBD_ESHUTDOWN } from './protocol/reply.js'

/** The error of the protocol, which has few, for one of this program. */
export function nbdErrorOf(error: unknown): number {
  if (!(error instanceof PbsfsError)) return NBD_EIO
  switch (error.tag) {
    case 'key':
      return NBD_EPERM
    case 'aborted':
      return NBD_ESHUTDOWN
    case 'target':
      return error.fields['code'] === 'ENOSPC' || error.fields['code'] === 'EDQUOT' ? NBD_ENOSPC : NBD_EIO
    case 'node':
      return error instanceof NodeError && error.errno === 'EINVAL' ? NBD_EINVAL : NBD_EIO
    case 'format':
    case 'truncated':
    case 'unsupported':
    case 'integrity':
    case 'chunk-unavailable':
    case 'busy':
    case 'mount':
    case 'source':
    case 'usage':
      return NBD_EIO
  }
}
