/**
 * Bytes that all connections together may have under way. Who gets none waits in line, so that a
 * large request is not passed by small ones for ever.
 */
export class ByteBudget {
  readonly #limit: number
  readonly #line: { readonly bytes: number; readonly go: () => void }[] = []
  #used = 0

  /** What is asked for at once must not be more than `limitBytes`. */
  constructor(limitBytes: number) {
    this.#limit = limitBytes
  }

  /** True: taken. False: `go` is called when it is, unless `leave` is called before with the same function. */
  take(bytes: number, go: () => void): boolean {
    if (this.#line.length === 0 && this.#used + bytes <= this.#limit) {
      this.#used += bytes
      return true
    }
    this.#line.push({ bytes, go })
    return false
  }

  give(bytes: number): void {
    this.#used -= bytes
    this.#serve()
  }

  leave(go: () => void): void {
    const at = this.#line.findIndex((waiter) => waiter.go === go)
    if (at < 0) return
    this.#line.splice(at, 1)
    this.#serve()
  }

  get waiting(): number {
    return this.#line.length
  }

  get used(): number {
    return this.#used
  }

  #serve(): void {
    for (;;) {
      const first = this.#line[0]
      if (first === undefined || this.#used + first.bytes > this.#limit) return
      this.#line.shift()
      this.#used += first.bytes
      first.go()
    }
  }
}
