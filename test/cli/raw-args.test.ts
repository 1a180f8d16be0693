import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { argToBytes, bytesToArg, readRawArgs, splitCmdline } from '#src/cli/raw-args.js'
import { repoDir } from '../support/golden.js'

const argument = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes.filter((byte) => byte !== 0)))

/** Decoded as node does it: what is not UTF-8 is replaced. */
const decode = (args: Buffer[]) => args.map((arg) => arg.toString('utf8'))

describe('bytesToArg, argToBytes', () => {
  test('lose no byte', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect([...argToBytes(bytesToArg(bytes))]).toEqual([...bytes])
      }),
    )
  })

  test('leave text alone', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(bytesToArg(Buffer.from(text))).toBe(text)
        expect(argToBytes(text).equals(Buffer.from(text))).toBe(true)
      }),
    )
  })

  test.each([
    ['a lone continuation byte', [0x80], '\udc80'],
    ['a surrogate encoded as UTF-8', [0xed, 0xb2, 0x80], '\udced\udcb2\udc80'],
    ['a replacement character that was typed', [0xef, 0xbf, 0xbd], '\ufffd'],
    ['an overlong slash', [0xc0, 0xaf], '\udcc0\udcaf'],
    ['the end of a sequence missing', [0x61, 0xe2, 0x82], 'a\udce2\udc82'],
    ['a byte order mark', [0xef, 0xbb, 0xbf, 0x61], '\ufeffa'],
  ])('%s', (_, bytes, text) => {
    expect(bytesToArg(Buffer.from(bytes))).toBe(text)
    expect([...argToBytes(text)]).toEqual(bytes)
  })
})

describe('readRawArgs', () => {
  test('gives the bytes of every argument, whatever stands before them', () => {
    fc.assert(
      fc.property(fc.array(argument), fc.array(argument), (before, args) => {
        const raw = readRawArgs(decode(args), [...before, ...args])
        expect(raw.map((arg) => argToBytes(arg).toString('hex'))).toEqual(args.map((arg) => arg.toString('hex')))
      }),
    )
  })

  test('does not take other text for the arguments', () => {
    expect(readRawArgs(['\ufffd', 'b'], [Buffer.from('renamed'), Buffer.from('process')])).toEqual(['\ufffd', 'b'])
    expect(readRawArgs(['\ufffd', 'b'], [])).toEqual(['\ufffd', 'b'])
  })

  test('works in a process with options of node in front', () => {
    const folder = mkdtempSync(join(tmpdir(), 'pbsfs-args-'))
    try {
      const script = join(folder, 'print.mjs')
      writeFileSync(
        script,
        `import { argToBytes, readRawArgs } from ${JSON.stringify(join(repoDir, 'dist/cli/raw-args.js'))}\n` +
          `console.log(readRawArgs().map((arg) => argToBytes(arg).toString('hex')).join(' '))\n`,
      )
      // Node encodes the arguments of a child as UTF-8; only a shell can pass other bytes.
      const command = `exec "$0" --no-warnings --stack-size=900 "$1" $'\\xff\\xfe' '' 'ü' $'a\\nb\\x80' '--x=y'`
      const output = execFileSync('bash', ['-c', command, process.execPath, script], { encoding: 'utf8' })
      expect(output.trimEnd()).toBe('fffe  c3bc 610a6280 2d2d783d79')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

test('splitCmdline keeps empty arguments', () => {
  expect(splitCmdline(Buffer.from('a\0\0b\0')).map(String)).toEqual(['a', '', 'b'])
  expect(splitCmdline(Buffer.from('a\0b')).map(String)).toEqual(['a', 'b'])
  expect(splitCmdline(Buffer.alloc(0))).toEqual([])
})
