import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hashName } from '#src/pxar-decode/siphash.js'
import { sipHash } from '../support/pxar-encoder.js'

function hash(name: Uint8Array): string {
  const padded = Buffer.concat([Buffer.from('??'), name, Buffer.from('??')])
  const out = new Int32Array(2)
  hashName(padded, 2, 2 + name.length, out)
  return [out[1]!, out[0]!].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('')
}

describe('hashName', () => {
  it.each([
    ['a', '0c26e9067c2c7bcf'],
    ['b', '4d1da3f512e8c733'],
    ['d', '25b61d6cbc2f47c3'],
    ['e', '88fcc5ee2e1f5699'],
    ['\xc3\xa4', '26b1ec6690696abf'],
    ['x'.repeat(255), '9b0466be3c838e3e'],
    ['file_0', 'a72d4eec8843fa66'],
    ['folder_0', 'e093b923517a4b01'],
    ['.pxarexclude-cli', '046975ce672e09eb'],
    ['abcdefg', '9d5cbd401ebbb094'],
    ['abcdefgh', 'ea82693c92359125'],
  ])('%s', (name, expected) => {
    expect(hash(Buffer.from(name, 'latin1'))).toBe(expected)
  })

  it('equals the definition on 64-bit integers', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (name) => {
        expect(hash(name)).toBe(sipHash(name).toString(16).padStart(16, '0'))
      }),
    )
  })
})
