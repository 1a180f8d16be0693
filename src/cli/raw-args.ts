import { readFileSync } from 'node:fs'

/**
 * Arguments are bytes, a parser wants strings. Between the two stands a text that loses nothing:
 * valid UTF-8 as it is, every other byte NN (0x80..0xff) as the lone surrogate U+DC00+NN, which
 * no valid UTF-8 decodes to.
 */
const SURROGATE_BASE = 0xdc00

/** Stands for no byte: in front of an operand that begins with a dash. */
const OPERAND_MARK = '\udc00'

/** Bytes of an argument as a lossless string. Undone by `argToBytes`. */
export function bytesToArg(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const plain = buffer.toString('utf8')
  if (!plain.includes('\ufffd') && Buffer.byteLength(plain) === buffer.length) return plain
  let text = ''
  for (let at = 0; at < buffer.length; ) {
    const length = sequenceLength(buffer, at)
    if (length === 0) text += String.fromCharCode(SURROGATE_BASE + buffer[at]!)
    else text += buffer.toString('utf8', at, at + length)
    at += Math.max(length, 1)
  }
  return text
}

/** The bytes behind a string of `bytesToArg`; any other string gives its UTF-8. */
export function argToBytes(arg: string): Buffer {
  const text = arg.startsWith(OPERAND_MARK) ? arg.slice(1) : arg
  if (!/[\udc80-\udcff]/.test(text)) return Buffer.from(text)
  const parts: Buffer[] = []
  for (const char of text) {
    const code = char.charCodeAt(0)
    const escaped = char.length === 1 && code >= SURROGATE_BASE + 0x80 && code <= SURROGATE_BASE + 0xff
    parts.push(escaped ? Buffer.from([code - SURROGATE_BASE]) : Buffer.from(char))
  }
  return Buffer.concat(parts)
}

/**
 * The arguments behind the script's name as lossless strings. Node's own decoding has already
 * replaced what is not UTF-8, so such arguments are taken from the kernel: /proc/self/cmdline ends
 * with the same arguments, whatever options of node stand before the script.
 */
export function readRawArgs(decoded: readonly string[] = process.argv.slice(2), cmdline = readCmdline()): string[] {
  if (!decoded.some((arg) => arg.includes('\ufffd'))) return [...decoded]
  const raw = cmdline.slice(-decoded.length)
  if (raw.length !== decoded.length) return [...decoded]
  // A cmdline that was overwritten (process.title) must not be mistaken for the arguments.
  const same = decoded.every((arg, i) => arg.includes('\ufffd') || raw[i]!.toString('utf8') === arg)
  return same ? raw.map(bytesToArg) : [...decoded]
}

/**
 * Gives the words of find(1) their second dash: `-name x` becomes `--name=x`, so that a value may begin with a dash
 * of its own (`-size -4k`). What stands behind `--` is left alone. `flags`: words without a value.
 */
export function doubleDashes(args: readonly string[], words: ReadonlySet<string>, flags: ReadonlySet<string>): string[] {
  const out: string[] = []
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!
    if (arg === '--') return [...out, ...args.slice(i)]
    const word = /^-{1,2}([a-z0-9]+)$/.exec(arg)?.[1]
    if (word === undefined || !words.has(word)) out.push(arg)
    else if (flags.has(word) || i + 1 === args.length) out.push(`--${word}`)
    else out.push(`--${word}=${args[++i]!}`)
  }
  return out
}

/**
 * Takes the `--` out for a parser that would not count what stands behind it as arguments of a
 * command: what begins with a dash there gets a mark that `argToBytes` removes.
 */
export function protectOperands(args: readonly string[]): string[] {
  const end = args.indexOf('--')
  if (end === -1) return [...args]
  const operands = args.slice(end + 1).map((arg) => (arg.startsWith('-') ? OPERAND_MARK + arg : arg))
  return [...args.slice(0, end), ...operands]
}

function readCmdline(): Buffer[] {
  let all: Buffer
  try {
    all = readFileSync('/proc/self/cmdline')
  } catch {
    return []
  }
  return splitCmdline(all)
}

/** Splits the NUL-terminated arguments of a cmdline file. */
export function splitCmdline(all: Buffer): Buffer[] {
  const args: Buffer[] = []
  for (let start = 0; start < all.length; ) {
    const nul = all.indexOf(0, start)
    const end = nul === -1 ? all.length : nul
    args.push(all.subarray(start, end))
    start = end + 1
  }
  return args
}

/** Length of the well-formed UTF-8 sequence at `at`, or 0. */
function sequenceLength(bytes: Buffer, at: number): number {
  const first = bytes[at]!
  const length = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : 4
  if (length === 1) return 1
  if (first < 0xc2 || first >= 0xf5 || at + length > bytes.length) return 0
  const sequence = bytes.subarray(at, at + length)
  return Buffer.from(sequence.toString('utf8')).equals(sequence) ? length : 0
}
