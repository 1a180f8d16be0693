import { constants } from 'node:fs'
import { emptyStat, files, CREATE_FILE } from '../posix/files.js'
import { temporaryName } from './temporary-name.js'

interface Time {
  readonly mtimeSec: number
  readonly mtimeNsec: number
}

/** A time with a digit in every place. */
const PROBE: Time = { mtimeSec: 1_234_567_891, mtimeNsec: 987_654_321 }

/** How exactly a file system keeps times. */
export class TimeStep {
  readonly #seconds: number
  readonly #nanoseconds: number

  /** `seconds` or `nanoseconds` may be lost: the time of a file is that much earlier or later than what was set. */
  constructor(seconds: number, nanoseconds: number) {
    this.#seconds = seconds
    this.#nanoseconds = nanoseconds
  }

  /** Found out with a file in the folder; exact where none can be made. */
  static of(folder: number): TimeStep {
    const call = files()
    const name = temporaryName()
    const fd = call.openat(folder, name, CREATE_FILE | constants.O_CREAT, 0o600)
    if (fd < 0) return new TimeStep(0, 0)
    const stat = emptyStat()
    const isSet = call.futimens(fd, PROBE.mtimeSec, PROBE.mtimeNsec) >= 0
    call.close(fd)
    const isRead = call.stat(folder, name, stat) >= 0
    call.unlinkat(folder, name)
    if (!isSet || !isRead) return new TimeStep(0, 0)
    const lost = Math.abs(stat.mtimeNsec - PROBE.mtimeNsec)
    if (stat.mtimeSec !== PROBE.mtimeSec) return new TimeStep(2, 0)
    return stat.mtimeNsec === 0 ? new TimeStep(1, 0) : new TimeStep(0, lost === 0 ? 0 : stepAbove(lost))
  }

  /** May a file that was given time `wanted` have time `found` now? */
  isSame(wanted: Time, found: Time): boolean {
    const seconds = Math.abs(wanted.mtimeSec - found.mtimeSec)
    if (this.#seconds > 0) return found.mtimeNsec === 0 && seconds <= this.#seconds
    return seconds === 0 && Math.abs(wanted.mtimeNsec - found.mtimeNsec) <= this.#nanoseconds
  }
}

/** The power of ten a file system rounds to that loses so much. */
function stepAbove(lost: number): number {
  return 10 ** Math.ceil(Math.log10(lost + 1))
}
