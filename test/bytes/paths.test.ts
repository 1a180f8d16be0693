import { expect, test } from 'vitest'
import { joinBytes, lastNameOf, parentOf } from '#src/bytes/paths.js'

test('the folder that a path is in', () => {
  const of = (path: string) => parentOf(Buffer.from(path)).toString()
  expect([of('/a/b'), of('/a'), of('/')]).toEqual(['/a', '/', '/'])
})

test('the last name of a path', () => {
  const of = (path: string) => lastNameOf(Buffer.from(path)).toString()
  expect([of('/a/b'), of('/a'), of('/'), of('a')]).toEqual(['b', 'a', '', 'a'])
})

test('a name in a folder', () => {
  const of = (folder: string) => joinBytes(Buffer.from(folder), Buffer.from('b')).toString()
  expect([of('/a'), of('/a/'), of('/')]).toEqual(['/a/b', '/a/b', '/b'])
})
