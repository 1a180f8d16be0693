import type { NbdRequest } from './protocol/request.js'

interface Pending {
  readonly cost: number
  readonly since: number
  isTold: boolean
}

/** The requests of a connection that are not answered yet, oldest first. */
export class PendingRequests {
  readonly #pending = new Map<NbdRequest, Pending>()
  #bytes = 0

  get size(): number {
    return this.#pending.size
  }

  /** Bytes of their answers. */
  get bytes(): number {
    return this.#bytes
  }

  add(request: NbdRequest, cost: number): void {
    this.#bytes += cost
    this.#pending.set(request, { cost, since: performance.now(), isTold: false })
  }

  /** Returns what it cost. */
  remove(request: NbdRequest): number {
    const { cost } = this.#pending.get(request)!
    this.#pending.delete(request)
    this.#bytes -= cost
    return cost
  }

  /** Requests that wait longer than `ms` at the time `now`, each told once. */
  takeSlow(now: number, ms: number): { readonly request: NbdRequest; readonly seconds: number }[] {
    const slow = []
    for (const [request, state] of this.#pending) {
      if (now - state.since < ms) break
      if (!state.isTold) slow.push({ request, seconds: Math.round((now - state.since) / 1000) })
      state.isTold = true
    }
    return slow
  }
}
