import { describe, expect, it } from 'vitest'
import { raiseReadahead } from '#src/fuse/readahead.js'

describe('raiseReadahead', () => {
  it('leaves alone what is no mount, and what cannot be seen', () => {
    expect(raiseReadahead(Buffer.from('/no/such/mount'))).toBeUndefined()
    expect(raiseReadahead(Buffer.from('/proc'))).toBeUndefined()
  })
})
