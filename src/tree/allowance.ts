/** Work that may go on only as far as others have paid for it. */
export class Allowance {
  #balance: number
  #wake: (() => void) | undefined

  constructor(initial = 0) {
    this.#balance = initial
  }

  earn(amount: number): void {
    this.#balance += amount
    if (this.#balance <= 0) return
    this.#wake?.()
    this.#wake = undefined
  }

  /** Takes an amount, and more than there is if there is anything; else waits until something was earned. One caller at a time. */
  take(amount: number): Promise<void> | undefined {
    if (this.#balance > 0) {
      this.#balance -= amount
      return undefined
    }
    return new Promise<void>((resolve) => (this.#wake = resolve)).then(() => {
      this.#balance -= amount
    })
  }
}
