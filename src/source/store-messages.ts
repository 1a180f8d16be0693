import type { PlainError } from '../errors/errors.js'
import type { Datastore, LocalSourceDescriptor } from './datastore.js'

/** Between a store's proxy and the thread that does its work. */
export type StoreMethod = Exclude<keyof Datastore, 'descriptor' | 'close'>

export const STORE_METHODS: readonly StoreMethod[] = [
  'describe', 'listNamespaces', 'listGroups', 'listSnapshots', 'groupInfo', 'snapshotInfo', 'readManifest', 'listFiles', 'readFile', 'readPart',
  'lockSnapshot', 'unlockSnapshot',
] // prettier-ignore

/** The first message to the thread. */
export interface StoreThreadData {
  readonly descriptor: LocalSourceDescriptor
}

export interface StoreRequest {
  readonly id: number
  readonly method: StoreMethod
  readonly args: readonly unknown[]
}

export type StoreReply =
  | { readonly id: number; readonly result: unknown; readonly error?: undefined }
  | { readonly id: number; readonly error: PlainError }

/** Id of the first message: whether the store could be opened. */
export const OPEN_ID = 0
