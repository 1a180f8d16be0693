/** What one check found. Texts are safe to print. */
export interface Finding {
  /** What was looked at; the words are part of the JSON document. */
  readonly check: Check
  /** `problem`: something that pbsfs is for will not work. `note`: something fewer people need. */
  readonly state: 'ok' | 'note' | 'problem'
  readonly text: string
  /** What to do, unless the state is `ok`. */
  readonly remedy?: string
}

export type Check =
  | 'node' | 'packages' | 'fuse-native' | 'memory' | 'container' | 'kernel' | 'fuse-device' | 'fusermount' | 'allow-other' | 'loop-devices'
  | 'group' | 'variables' | 'keys' | 'mounts' | 'source' | 'snapshots' | 'locks' // prettier-ignore

export function ok(check: Check, text: string): Finding {
  return { check, state: 'ok', text }
}

export function note(check: Check, text: string, remedy: string): Finding {
  return { check, state: 'note', text, remedy }
}

export function problem(check: Check, text: string, remedy: string): Finding {
  return { check, state: 'problem', text, remedy }
}
