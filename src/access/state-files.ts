import { createHash } from 'node:crypto'
import { dirname, join } from 'node:path'
import { BusyError, FormatError, isPbsfsError, type PbsfsError } from '../errors/errors.js'
import { emptyState, encodeState, groupName, MAX_STATE_SIZE, parseState, type AccessState, type GroupPlace } from './access-state.js'
import { fileSteps, makeFolders, writeDurably, type FileSteps } from './durable-file.js'

const SUFFIX = '.json'

/** What is known of all targets. */
export interface StateListing {
  readonly states: readonly AccessState[]
  /** One for each file that cannot be read. */
  readonly problems: readonly PbsfsError[]
}

/**
 * The state of accesses: `FOLDER/access/TARGET/GROUP.json`, a file for each target and group, so that the groups of
 * one target do not wait for one another. Whoever changes one has a lock on it.
 */
export class StateFiles {
  readonly #folder: string
  readonly #steps: FileSteps

  /** `folder`: absolute; made when there is something to write. */
  constructor(folder: string, steps: FileSteps = fileSteps) {
    this.#folder = join(folder, 'access')
    this.#steps = steps
  }

  /** Sorted by target and group. */
  list(): StateListing {
    const states: AccessState[] = []
    const problems: PbsfsError[] = []
    for (const target of this.#steps.list(this.#folder).sort()) {
      for (const file of this.#steps.list(join(this.#folder, target)).filter((name) => name.endsWith(SUFFIX)).sort()) {
        try {
          const state = this.#read(join(this.#folder, target, file))
          if (state !== undefined) states.push(state)
        } catch (error) {
          if (!isPbsfsError(error)) throw error
          problems.push(error)
        }
      }
    }
    return { states, problems }
  }

  /**
   * Lets `change` make another state of the one that is there, and writes it before it returns; rejects it, nothing is
   * written. BusyError when another process is at it.
   */
  async update<T>(target: string, place: GroupPlace, change: (state: AccessState) => Promise<readonly [AccessState, T]>): Promise<T> {
    const path = this.#pathOf(target, place)
    // A file that is there is in folders that last.
    if (this.#steps.read(path, MAX_STATE_SIZE) === undefined) makeFolders(this.#steps, dirname(path))
    const lock = this.#steps.lock(`${path}.lock`)
    if (lock === undefined) throw new BusyError(`another pbsfs is changing the access of ${target} at this moment; try again`, { path })
    try {
      const [state, result] = await change(this.#read(path) ?? emptyState(target, place))
      const bytes = encodeState(state)
      // What cannot be read again is not written.
      parseState(bytes, path)
      writeDurably(this.#steps, path, bytes)
      return result
    } finally {
      lock.release()
    }
  }

  #read(path: string): AccessState | undefined {
    const bytes = this.#steps.read(path, MAX_STATE_SIZE)
    if (bytes === undefined) return undefined
    try {
      const state = parseState(bytes, path)
      if (this.#pathOf(state.target, state.place) === path) return state
      throw new FormatError(`${path}: is the state of another target or group`, { path, actual: `${state.target} ${groupName(state.place)}` })
    } catch (error) {
      if (!(error instanceof FormatError)) throw error
      const remedy = `Remove ${path}; the next run for it reads everything.`
      throw new FormatError(error.message, { ...error.fields, remedy }, { cause: error })
    }
  }

  #pathOf(target: string, place: GroupPlace): string {
    const name = groupName(place)
    const digest = createHash('sha256').update(`${place.store}\0${name}`).digest('hex').slice(0, 16)
    return join(this.#folder, target, `${place.type}-${place.id.slice(0, 64)}-${digest}${SUFFIX}`)
  }
}
