import { createRequire } from 'node:module'
import { MountError } from '../errors/errors.js'

export type Raw = (...args: readonly unknown[]) => number
export type RawAsync = Raw & { async: (...args: readonly unknown[]) => void }

export interface Koffi {
  load(path: string | null): { func(definition: string): RawAsync }
  errno(): number
  address(value: unknown): bigint
}

let loaded: Koffi | undefined

/**
 * The foreign function interface, loaded at the first call of a thread (about 7 ms). MountError when
 * it has no build for this machine.
 */
export function koffi(): Koffi {
  return (loaded ??= load())
}

/** A function of the C library: its result, or the negative errno. */
export function bindCall(definition: string): Raw {
  const ffi = koffi()
  const raw = ffi.load(null).func(definition)
  return (...args) => {
    const result = raw(...args)
    return result < 0 ? -ffi.errno() : result
  }
}

function load(): Koffi {
  try {
    return createRequire(import.meta.url)('koffi') as Koffi
  } catch (error) {
    const remedy = 'run "npm ci" on this machine, so that the build for its processor and C library is installed'
    throw new MountError(`System calls cannot be made: the package koffi does not load. Please ${remedy}.`, { remedy }, { cause: error })
  }
}
