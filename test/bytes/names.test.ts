import { expect, test } from 'vitest'
import { lastNameOf, parentOf } from '#src/bytes/names.js'

test('the folder that a path is in', () => {
  const of = (path: string) => parentOf(Buffer.from(path)).toString()
  expect([of('/a/b'), of('/a'), of('/')]).toEqual(['/a', '/', '/'])
})

test('the last name of a path', () => {
  const of = (path: string) => lastNameOf(Buffer.from(path)).toString()
  expect([of('/a/b'), of('/a'), of('/'), of('a')]).toEqual(['b', 'a', '', 'a'])
})
