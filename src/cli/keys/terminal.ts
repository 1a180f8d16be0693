import { closeSync, openSync, writeSync } from 'node:fs'
import { ReadStream } from 'node:tty'
import { AbortedError } from '../../errors/errors.js'

/** Bytes of a password somebody can type. */
const MAX_TYPED = 4096

const KEY = { interrupt: 0x03, end: 0x04, backspace: 0x08, newline: 0x0a, return: 0x0d, clear: 0x15, delete: 0x7f } as const

/** Asks for a password; undefined: there is no terminal to ask on. The caller zeroes what it gets. */
export type AskPassword = (prompt: string) => Promise<Buffer | undefined>

/** Asks on the terminal of the process, whatever stdin is. Nothing of the answer is shown. */
export const askOnTerminal: AskPassword = async (prompt) => {
  let fd: number
  try {
    fd = openSync('/dev/tty', 'r+')
  } catch {
    return undefined
  }
  let terminal: ReadStream
  try {
    terminal = new ReadStream(fd)
  } catch {
    closeSync(fd)
    return undefined
  }
  const line = new TypedLine()
  try {
    // Without echo before the first letter can be typed.
    terminal.setRawMode(true)
    writeSync(fd, prompt)
    await new Promise<void>((resolve, reject) => {
      terminal.on('data', (bytes: Buffer) => {
        const end = line.type(bytes)
        bytes.fill(0)
        if (end === 'done') resolve()
        if (end === 'interrupted') reject(new AbortedError('interrupted at the password'))
      })
      terminal.on('end', resolve)
      terminal.on('error', reject)
    })
    return line.take()
  } finally {
    line.clear()
    terminal.setRawMode(false)
    writeSync(fd, '\n')
    terminal.destroy()
  }
}

/** What has been typed so far, edited as a terminal does. */
export class TypedLine {
  readonly #bytes = Buffer.alloc(MAX_TYPED)
  #length = 0

  /** Takes keys; says when the line is complete. */
  type(keys: Uint8Array): 'done' | 'interrupted' | undefined {
    for (const key of keys) {
      if (key === KEY.return || key === KEY.newline || key === KEY.end) return 'done'
      if (key === KEY.interrupt) return 'interrupted'
      if (key === KEY.clear) this.clear()
      else if (key === KEY.backspace || key === KEY.delete) this.#removeCharacter()
      else if (this.#length < MAX_TYPED) this.#bytes[this.#length++] = key
    }
    return undefined
  }

  take(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#length))
  }

  clear(): void {
    this.#bytes.fill(0)
    this.#length = 0
  }

  /** The last character with all its bytes of UTF-8. */
  #removeCharacter(): void {
    while (this.#length > 0) {
      const byte = this.#bytes[--this.#length]!
      this.#bytes[this.#length] = 0
      if ((byte & 0xc0) !== 0x80) return
    }
  }
}
