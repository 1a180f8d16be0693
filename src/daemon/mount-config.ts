import { FormatError } from '../errors/errors.js'
import type { MountOptions } from '../fuse/mount-options.js'
import type { LogLevel } from './log-level.js'

export const DRIVERS = ['kernel', 'fuse-native'] as const
export type Driver = (typeof DRIVERS)[number]

export const DEFAULT_CACHE_BYTES = 256 * 1024 * 1024
/** Below this a cache holds less than what one reader needs at a time. */
export const MIN_CACHE_BYTES = 64 * 1024 * 1024
export const DEFAULT_DECODERS = 2
export const MAX_DECODERS = 64
/** How long a snapshot stays locked after somebody looked at it, in a mount of more than that one. */
export const DEFAULT_LOCK_IDLE_MS = 30_000

/**
 * All a mount needs to know, as JSON: it crosses from the command to the daemon on a pipe and from
 * there to the session thread. Byte strings are hex, paths absolute (the daemon works in `/`).
 */
export interface MountConfig {
  readonly pbsfs: string
  readonly source: SourceConfig
  /** Hex; as given, made absolute. */
  readonly mountpoint: string
  /** What has no value is absent behind the pipe. */
  readonly options: MountOptions
  readonly cacheBytes: number
  /** Decoding threads. */
  readonly decoders: number
  readonly driver: Driver
  /** Show what contradicts its manifest or signature, with a warning. */
  readonly force?: boolean
  /** Absent: reading bytes that are lost fails. */
  readonly damaged?: 'zero'
  /** Hex; paths or names of datastores as given, relative to the folder of SOURCE. */
  readonly fallbacks?: readonly string[]
  /** Hex of an absolute path: folder that takes changes of images, which can then be written to. */
  readonly overlay?: string
  /** Absent: snapshots are locked where a server of this host has the store. */
  readonly lock?: 'require' | 'none'
  /** Where the server of this host is, when not in its usual places. */
  readonly server?: ServerConfig
  readonly log: LogConfig
}

export interface SourceConfig {
  /** SOURCE as given, hex: PATH or store name, `::SELECTOR` behind it. */
  readonly text: string
  /** Hex: folder that a relative PATH starts from. */
  readonly cwd: string
  /** Hex: payload of a lone split archive that does not lie beside it. */
  readonly payloadInput?: string
}

export interface ServerConfig {
  readonly configDir?: string
  readonly runtimeDir?: string
  /** ms without a request after which the lock of a snapshot is given up, unless the mount is of that snapshot. */
  readonly lockIdleMs?: number
}

export interface LogConfig {
  readonly level: LogLevel
  /** Hex of an absolute path; absent: stderr. */
  readonly file?: string
}

export function encodeBytes(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

export function decodeBytes(hex: string): Buffer {
  return Buffer.from(hex, 'hex')
}

/** Between the JSON of a configuration and the keys that follow it on the pipe. */
const SEPARATOR = Buffer.from([0])

/** What is written to the pipe: the configuration, and the keys as bytes that can be zeroed. */
export function joinMountInput(config: MountConfig, secrets: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(JSON.stringify(config)), SEPARATOR, secrets])
}

/** Undoes `joinMountInput`; without the separator there are no keys. `secrets` is a view of `input`. */
export function splitMountInput(input: Buffer): { readonly config: string; readonly secrets: Uint8Array } {
  const end = input.indexOf(0)
  if (end < 0) return { config: input.toString('utf8'), secrets: new Uint8Array(0) }
  return { config: input.toString('utf8', 0, end), secrets: input.subarray(end + 1) }
}

/** Reads a configuration that came over the pipe. */
export function parseMountConfig(text: string): MountConfig {
  const value: unknown = JSON.parse(text)
  if (!isConfig(value)) throw new FormatError('the configuration of a mount is not complete', { stream: 'pipe' })
  return value
}

function isConfig(value: unknown): value is MountConfig {
  if (typeof value !== 'object' || value === null) return false
  const config = value as { [name in keyof MountConfig]?: unknown }
  return (
    typeof config.pbsfs === 'string' &&
    typeof config.mountpoint === 'string' &&
    typeof config.source === 'object' &&
    typeof config.log === 'object' &&
    typeof config.cacheBytes === 'number' &&
    typeof config.decoders === 'number' &&
    typeof config.options === 'object' &&
    DRIVERS.includes(config.driver as Driver)
  )
}
