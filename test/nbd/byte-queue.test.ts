import fc from 'fast-check'
import { expect, it } from 'vitest'
import { ByteQueue } from '#src/nbd/byte-queue.js'

it('gives out what came in, however it was cut on either side', () => {
  const steps = fc.array(fc.oneof(fc.record({ push: fc.uint8Array({ maxLength: 20 }) }), fc.record({ take: fc.nat(30) }), fc.record({ skip: fc.nat(30) })))
  fc.assert(
    fc.property(steps, (list) => {
      const queue = new ByteQueue()
      let model = Buffer.alloc(0)
      for (const step of list) {
        if ('push' in step) {
          queue.push(Buffer.from(step.push))
          model = Buffer.concat([model, step.push])
        } else if ('take' in step) {
          const taken = queue.take(step.take)
          if (step.take > model.length) {
            expect(taken).toBeUndefined()
          } else {
            expect(taken).toEqual(Buffer.from(model.subarray(0, step.take)))
            model = model.subarray(step.take)
          }
        } else {
          const count = Math.min(step.skip, model.length)
          expect(queue.skip(step.skip)).toBe(count)
          model = model.subarray(count)
        }
        expect(queue.length).toBe(model.length)
      }
    }),
  )
})
