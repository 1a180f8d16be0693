/** Entries of a directory pushed at a time. 32 to 128 are about equally good. */
export const WINDOW = 100

/** Files pushed to one caller before one is left out, whose read tells that the caller has come that far. */
export const MARKER_EVERY = 100

/** Files pushed to a caller that reads nothing before it gets no more. */
export const CREDIT = 400

/** Entries between two files that were read one after the other: others lie there that nobody reads. */
const NEIGHBOURS = 4

/** Pushed files that are read all the same before they are pushed again. */
const MISSED = 8

/** Directories, and callers, followed at once. */
const FOLLOWED = 16

/** A directory somebody goes through. */
interface Course {
  /** The entry read last. */
  last: number
  /** What was pushed: entries `[from, to)`; nothing yet when both are 0. */
  from: number
  to: number
  /** The one that was left out, or -1. */
  marker: number
  /** Reads of what was pushed. */
  missed: number
}

/** A process that files were pushed for. */
interface Caller {
  credit: number
  /** Files pushed since one was left out. */
  unmarked: number
}

/** Entries `[from, to)` of a directory. */
export interface Window {
  readonly from: number
  readonly to: number
}

/**
 * Decides when to put small files into the kernel's page cache before they are asked for: when
 * somebody read two neighbours, or has been reading that way and comes to the next directory. A
 * pushed file causes no request, so progress shows only where a file was left out.
 */
export class PushPlan {
  /** The one used last comes last. */
  readonly #courses = new Map<string, Course>()
  readonly #callers = new Map<number, Caller>()

  /** Entry `index` of the directory was read from its start. Answers what to push, if anything. */
  read(dir: string, index: number, caller: number): Window | undefined {
    const course = recent(this.#courses, dir)
    if (course === undefined) {
      remember(this.#courses, dir, { last: index, from: 0, to: 0, marker: -1, missed: 0 })
      return undefined
    }
    const last = course.last
    course.last = index
    if (course.to > 0) {
      if (index === course.marker) return this.#open(course, course.to, caller)
      if (index >= course.from && index < course.to) {
        // Asked for before it was pushed; or, when there are many, the kernel has dropped what was.
        if (++course.missed <= MISSED) return undefined
        course.from = index + 1
        return this.#open(course, index + 1, caller)
      }
      course.from = course.to = 0
      course.marker = -1
      return undefined
    }
    if (index <= last || index - last > NEIGHBOURS) return undefined
    course.from = index + 1
    return this.#open(course, index + 1, caller)
  }

  /** A caller has listed the directory to its end. */
  listed(dir: string, caller: number): Window | undefined {
    const known = this.#callers.get(caller)
    if (caller === 0 || known === undefined || known.credit <= 0 || this.#courses.has(dir)) return undefined
    remember(this.#courses, dir, { last: -1, from: 0, to: WINDOW, marker: -1, missed: 0 })
    return { from: 0, to: WINDOW }
  }

  /** Is file `index` of a window to be left out? Asked for each file of it, in their order. */
  leavesOut(dir: string, index: number, caller: number): boolean {
    const course = this.#courses.get(dir)
    const known = this.#callers.get(caller)
    if (course === undefined || known === undefined) return false
    known.credit--
    if (course.marker >= 0 || ++known.unmarked < MARKER_EVERY) return false
    known.unmarked = 0
    course.marker = index
    return true
  }

  #open(course: Course, from: number, caller: number): Window {
    remember(this.#callers, caller, { credit: CREDIT, unmarked: 0 })
    course.marker = -1
    course.missed = 0
    course.to = from + WINDOW
    return { from, to: course.to }
  }
}

function recent<K, V>(map: Map<K, V>, key: K): V | undefined {
  const value = map.get(key)
  if (value !== undefined) remember(map, key, value)
  return value
}

function remember<K, V>(map: Map<K, V>, key: K, value: V): void {
  map.delete(key)
  map.set(key, value)
  if (map.size > FOLLOWED) map.delete(map.keys().next().value!)
}
