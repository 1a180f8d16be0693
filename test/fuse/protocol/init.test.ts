import { describe, expect, it } from 'vitest'
import { viewOf } from '#src/bytes/le.js'
import { DEFAULT_WISHES, negotiateInit, requestBufferSize, writeInitAgain, writeInitOut, type Negotiated } from '#src/fuse/protocol/init.js'
import { initIn, packRequest, u32 } from '../../support/fake-kernel.js'

function agree(body: Buffer): Negotiated {
  const bytes = packRequest(26, 0n, 2n, body)
  const outcome = negotiateInit(viewOf(bytes), bytes.length, DEFAULT_WISHES)
  if (outcome.kind !== 'agreed') throw new Error(outcome.kind)
  return outcome.negotiated
}

describe('INIT', () => {
  it('answers Linux 6.18 as wanted', () => {
    const negotiated = agree(initIn(7, 45, 0x73fffffb, 0x5fd))
    const out = Buffer.alloc(64, 0xaa)
    writeInitOut(viewOf(out), 0, negotiated)
    expect(out.toString('hex')).toBe(
      '07000000' + // major
        '2d000000' + // minor 45
        'ffffff7f' + // max_readahead: the kernel's own
        '01b0e440' + // flags: bits 0, 12, 13, 15, 18, 21, 22, 23, 30
        '4000' + // max_background 64
        '3000' + // congestion_threshold 48
        '00100000' + // max_write 4096
        '01000000' + // time_gran
        '0001' + // max_pages 256
        '0000' +
        '50000000' + // flags2: bits 36 and 38
        '00'.repeat(28),
    )
    expect(negotiated.absent).toEqual([])
    expect(negotiated.enabled).toContain('DO_READDIRPLUS')
    expect(negotiated.refused).toContain('READDIRPLUS_AUTO')
    expect(negotiated.refused).toContain('EXPLICIT_INVAL_DATA')
  })

  it('sets only what was offered, and the second word only when the kernel has one', () => {
    const old = agree(u32(7, 31, 131072, 0x00002001))
    expect(old).toMatchObject({ minor: 31, flagsLo: 0x2001, flagsHi: 0 })
    expect(old.absent).toContain('INIT_EXT')
    // A longer body without the flag that gives it meaning.
    expect(agree(initIn(7, 36, 0x2001, 0xffffffff)).flagsHi).toBe(0)
    // The flag without the longer body.
    expect(agree(u32(7, 36, 131072, 0x40002001)).flagsHi).toBe(0)
  })

  it('never speaks a later version than it knows', () => {
    expect(agree(initIn(7, 99, 0, 0))).toMatchObject({ minor: 45, kernelMinor: 99 })
  })

  it('refuses old kernels in words, and asks a later major to come down', () => {
    const ask = (major: number, minor: number): unknown => {
      const bytes = packRequest(26, 0n, 2n, u32(major, minor, 0, 0))
      return negotiateInit(viewOf(bytes), bytes.length, DEFAULT_WISHES)
    }
    expect(ask(7, 30)).toEqual({
      kind: 'refused',
      message: 'This kernel speaks FUSE 7.30; at least 7.31 (Linux 5.4) is needed.',
    })
    expect(ask(6, 99)).toMatchObject({ kind: 'refused' })
    expect(ask(8, 0)).toEqual({ kind: 'again' })
    const out = Buffer.alloc(64, 0xaa)
    writeInitAgain(viewOf(out), 0)
    expect(out.toString('hex')).toBe('070000002d000000' + '00'.repeat(56))
  })

  it('sizes the request buffer by the kernel rule', () => {
    expect(requestBufferSize(4096)).toBe(8192)
    expect(requestBufferSize(1 << 20)).toBeGreaterThanOrEqual((1 << 20) + 80)
  })
})
