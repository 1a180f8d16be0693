import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FormatError } from '#src/errors/errors.js'
import { VarintCursor } from '#src/pxar-decode/varint.js'
import { vari, varu } from '../support/catalog-encoder.js'

function cursor(bytes: Uint8Array): VarintCursor {
  const made = new VarintCursor('test')
  made.bytes = bytes
  made.limit = bytes.length
  return made
}
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

describe('VarintCursor', () => {
  it.each([['00', 0], ['7f', 127], ['80 01', 128], ['ac 02', 300], ['80 80 00', 0], ['ff ff ff ff ff ff ff 0f', 2 ** 53 - 1]])('unsigned %s', (bytes, value) => {
    const at = cursor(hex(bytes))
    expect(at.unsigned()).toBe(value)
    expect(at.pos).toBe(hex(bytes).length)
  }) // prettier-ignore

  it.each([['00', 0], ['81 00', -1], ['80 81 00', -128], ['ac 82 00', -300], ['80 e2 cf aa 06', 1_700_000_000], ['ac 02', 300]])('signed %s', (bytes, value) => {
    const at = cursor(hex(bytes))
    expect(at.signed()).toBe(value)
    expect(at.pos).toBe(hex(bytes).length)
  }) // prettier-ignore

  it.each([
    ['unsigned', 'ff ff ff ff ff ff ff ff ff 01', /above 2\^53-1/],
    ['unsigned', '80 80 80 80 80 80 80 80 80 80 01', /does not end/],
    ['unsigned', '80 80', /past its block/],
    ['unsigned', '', /past its block/],
    ['signed', '80 80 80 80 80 80 80 80 80 81 00', /above 2\^53-1/],
    ['signed', 'ff ff ff ff ff ff ff ff ff ff ff 00', /does not end/],
    ['signed', '81', /past its block/],
  ] as const)('%s %s fails by name', (kind, bytes, message) => {
    const at = cursor(hex(bytes))
    expect(() => at[kind]()).toThrow(message)
    at.pos = 0
    expect(() => at[kind]()).toThrow(FormatError)
  })

  it('reads back what was written, one behind the other', () => {
    const safe = fc.maxSafeInteger()
    fc.assert(
      fc.property(fc.array(safe), (values) => {
        const at = cursor(Buffer.concat(values.flatMap((value) => [vari(value), varu(Math.abs(value))])))
        // -0 is no number of a catalog.
        for (const value of values) expect([at.signed() + 0, at.unsigned()]).toEqual([value + 0, Math.abs(value)])
      }),
    )
  })
})
