import { expect, test } from 'vitest'
import { hasColors, paint, paintHead } from '#src/cli/colors.js'

test.each([
  [true, { TERM: 'xterm' }, true],
  [true, { TERM: 'xterm', NO_COLOR: '' }, true],
  [true, { TERM: 'xterm', NO_COLOR: '1' }, false],
  [true, { TERM: 'dumb' }, false],
  [true, {}, false],
  [false, { TERM: 'xterm' }, false],
])('terminal: %s, %j: %s', (isTTY, env, on) => expect(hasColors({ isTTY }, env)).toBe(on))

test('what is painted has its text unchanged', () => {
  expect(paint('x', 'red', true)).toBe('\x1b[31mx\x1b[0m')
  expect(paint('x', 'red', false)).toBe('x')
  expect(paint('x', 'red', undefined)).toBe('x')
  expect(paintHead('A  B\n1  2\n', true)).toBe('\x1b[1mA  B\x1b[0m\n1  2\n')
  expect(paintHead('A  B\n1  2\n', false)).toBe('A  B\n1  2\n')
  expect(paintHead('', true)).toBe('')
})
