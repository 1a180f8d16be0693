import { messageOf, MountError } from '../errors/errors.js'

/**
 * What this driver uses of the package fuse-native 2.2.6. Its `_op_*` methods are replaced: they
 * are where the library calls the program, and only there the sizes of the caller's buffers and
 * the handles of open files are known. Its public operations cut and overrun what is too long.
 */

/**
 * Answers one call, exactly once: a negative errno or a result >= 0, and what the operation is
 * answered with. Operations that lend a buffer want its ArrayBuffer back as the last argument.
 */
export type Signal = (result: number, ...rest: unknown[]) => void

export interface NativeHandlers {
  readonly _op_getattr: (signal: Signal, path: string) => void
  readonly _op_fgetattr: (signal: Signal, path: string, handle: number) => void
  readonly _op_readdir: (signal: Signal, path: string) => void
  readonly _op_readlink: (signal: Signal, path: string) => void
  readonly _op_open: (signal: Signal, path: string, flags: number) => void
  readonly _op_release: (signal: Signal, path: string, handle: number) => void
  /** `target` is memory of the library, valid until `signal`. */
  readonly _op_read: (signal: Signal, path: string, handle: number, target: Buffer, length: number, low: number, high: number) => void
  readonly _op_getxattr: (signal: Signal, path: string, name: string, target: Buffer) => void
  readonly _op_listxattr: (signal: Signal, path: string, target: Buffer) => void
  readonly _op_statfs: (signal: Signal, path: string) => void
}

export interface NativeFuse extends NativeHandlers {
  /** Mounts and starts to answer, on threads of its own that call back into this one. */
  mount(callback: (error?: Error | null) => void): void
  /** The `-o` argument for libfuse. */
  _fuseOptions: () => string
}

/** `operations`: only what it names is asked for. */
export type NativeLibrary = new (
  mountpoint: string,
  operations: Readonly<Record<string, unknown>>,
  options: { readonly timeout: false },
) => NativeFuse

const PACKAGE = 'fuse-native'
/** npm leaves the package out when it cannot be loaded while it is installed. */
const REMEDY_PACKAGE =
  'Install libfuse2 (apt install libfuse2), then pbsfs with its optional dependencies (npm install --include=optional); or leave out --driver.'
const REMEDY_LIBFUSE = 'Install it (apt install libfuse2; on Debian 13 and Ubuntu 24.04: libfuse2t64), or leave out --driver.'
const REMEDY_OTHER = 'Leave out --driver: the driver of pbsfs itself needs no library.'

/** Loads the package; MountError with the remedy when it or libfuse is not there. */
export async function loadLibrary(load: (name: string) => Promise<unknown> = (name) => import(name)): Promise<NativeLibrary> {
  let module: unknown
  try {
    module = await load(PACKAGE)
  } catch (error) {
    throw explain(error)
  }
  const library = (module as { default?: unknown } | null)?.default
  if (typeof library !== 'function') {
    throw new MountError(`the package ${PACKAGE} is not the one this driver is made for`, { remedy: REMEDY_OTHER })
  }
  return library as NativeLibrary
}

function explain(error: unknown): MountError {
  const text = messageOf(error)
  const code = (error as { code?: unknown } | null)?.code
  const [message, remedy] = /libfuse/.test(text)
    ? ['libfuse.so.2 is not there; --driver fuse-native needs it', REMEDY_LIBFUSE]
    : code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND'
      ? [`the package ${PACKAGE} is not there`, REMEDY_PACKAGE]
      : [`the package ${PACKAGE} cannot be loaded: ${text.split('\n', 1)[0]}`, REMEDY_OTHER]
  return new MountError(message, { remedy }, { cause: error })
}
