import { FUSE_READ, OPCODE_LIMIT, opcodeName } from './protocol/opcodes.js'

export interface OpcodeStats {
  readonly name: string
  readonly count: number
  /** Answered with an errno. */
  readonly errors: number
  /** From the request's arrival to its answer, all requests together. */
  readonly totalMs: number
}

/** Counters for each opcode; kept in flat arrays so that counting costs nothing. */
export class RequestStats {
  readonly #counts = new Float64Array(OPCODE_LIMIT)
  readonly #errors = new Float64Array(OPCODE_LIMIT)
  readonly #ms = new Float64Array(OPCODE_LIMIT)
  /** Requests that could not be understood. */
  malformed = 0
  /** Replies the kernel did not take although the request was alive: mistakes of this program. */
  rejectedReplies = 0
  /** Contents sent in answers to READ. */
  bytesRead = 0

  finish(opcode: number, ms: number, errno: number, bytes: number): void {
    const i = opcode < OPCODE_LIMIT ? opcode : 0
    this.#counts[i]! += 1
    this.#ms[i]! += ms
    if (errno !== 0) this.#errors[i]! += 1
    if (opcode === FUSE_READ) this.bytesRead += bytes
  }

  count(opcode: number): number {
    return this.#counts[opcode] ?? 0
  }

  /** Opcodes that occurred, in numerical order. */
  toArray(): OpcodeStats[] {
    const out: OpcodeStats[] = []
    for (let i = 0; i < OPCODE_LIMIT; i++) {
      const count = this.#counts[i]!
      if (count > 0) out.push({ name: opcodeName(i), count, errors: this.#errors[i]!, totalMs: this.#ms[i]! })
    }
    return out
  }
}
