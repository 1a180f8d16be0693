import { expect, test } from 'vitest'
import { Progress, type ProgressOutput } from '#src/cli/progress.js'

function start(isTerminal: boolean, columns = 200): { progress: Progress; texts: string[]; tick: (ms: number) => void } {
  const texts: string[] = []
  let now = 0
  const output: ProgressOutput = { isTerminal, columns, write: (text) => void texts.push(text) }
  return { progress: new Progress(output, () => now), texts, tick: (ms) => (now += ms) }
}

test('on a terminal: one line that is written again, with rate and time left, and taken away at the end', () => {
  const { progress, texts, tick } = start(true)
  progress.update({ label: 'reading', done: 0, total: 100, bytes: 0 })
  tick(2000)
  progress.update({ label: 'reading', done: 50, total: 100, bytes: 20 << 20 })
  progress.update({ label: 'reading', done: 51, total: 100, bytes: 20 << 20 })
  progress.end()
  expect(texts).toEqual(['\r\x1b[Kreading [........................] 0 % (0 of 100)', '\r\x1b[Kreading [############............] 50 % (50 of 100), 10.0 MiB/s, 2s left', '\r\x1b[K'])
})

test('never wider than the terminal', () => {
  const { progress, texts } = start(true, 20)
  progress.update({ label: 'a label that is long', done: 1, total: 2, bytes: 0 })
  expect(texts[0]!.replace('\r\x1b[K', '').length).toBeLessThan(20)
})

test('elsewhere: a line now and then, none for short work, no control characters', () => {
  const { progress, texts, tick } = start(false)
  progress.update({ label: 'reading', done: 1, total: 4, bytes: 0 })
  progress.update({ label: 'reading', done: 2, total: 4, bytes: 0 })
  expect(texts).toEqual([])
  tick(20_000)
  progress.update({ label: 'reading', done: 2, total: 4, bytes: 0 })
  progress.end()
  expect(texts).toEqual(['reading 50 % (2 of 4), 0.1/s, 20s left\n'])
})
