import { describe, expect, it } from 'vitest'
import { opcodeName, opcodeOf, OPCODE_LIMIT, OPCODES } from '#src/fuse/protocol/opcodes.js'

describe('opcodes', () => {
  it('has one row for each number, below the limit of the tables', () => {
    const numbers = OPCODES.map((row) => row.opcode)
    expect(new Set(numbers).size).toBe(numbers.length)
    expect(new Set(OPCODES.map((row) => row.name)).size).toBe(numbers.length)
    expect(Math.max(...numbers)).toBeLessThan(OPCODE_LIMIT)
  })

  it('knows which requests get no reply', () => {
    const silent = OPCODES.filter((row) => row.noReply).map((row) => row.name)
    expect(silent).toEqual(['FORGET', 'INTERRUPT', 'NOTIFY_REPLY', 'BATCH_FORGET'])
  })

  it('counts a name with its NUL into the least body', () => {
    expect(opcodeOf(1)).toMatchObject({ name: 'LOOKUP', minBody: 2 })
    expect(opcodeOf(12)).toMatchObject({ name: 'RENAME', minBody: 12 })
    expect(opcodeOf(22)).toMatchObject({ name: 'GETXATTR', minBody: 10 })
  })

  it('names what it does not know by number', () => {
    expect(opcodeOf(7)).toBeUndefined()
    expect(opcodeOf(4096)).toBeUndefined()
    expect(opcodeName(4096)).toBe('opcode 4096')
    expect(opcodeName(44)).toBe('READDIRPLUS')
  })
})
