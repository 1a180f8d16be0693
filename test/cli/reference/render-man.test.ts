import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it, test } from 'vitest'
import { describeAllCommands } from '#src/cli/reference/all-commands.js'
import { renderManPage } from '#src/cli/reference/render-man.js'
import { readVersion } from '#src/cli/version.js'
import { repoDir } from '../../support/golden.js'
import { describeWith } from '../../support/needs.js'
import { runProgram } from '../../support/run-program.js'

const path = join(repoDir, 'man/pbsfs.1')

test('man/pbsfs.1 is what the program makes: npm run docs writes it', () => {
  expect(readFileSync(path, 'utf8')).toBe(renderManPage(describeAllCommands(), readVersion()))
  const { man, files } = JSON.parse(readFileSync(join(repoDir, 'package.json'), 'utf8')) as { man: string; files: string[] }
  expect([man, files.includes('man')]).toEqual(['man/pbsfs.1', true])
})

describeWith({ programs: { man: 'man-db' } }, 'man pbsfs', () => {
  it('renders without a warning, and shows every command and option as it is typed', async () => {
    const { code, out, err } = await runProgram('man', ['--warnings', '-E', 'UTF-8', '-l', path], { env: { MANWIDTH: '200', LC_ALL: 'C.UTF-8', MANPAGER: 'cat' } })
    expect({ code, err }).toEqual({ code: 0, err: '' })
    const text = Buffer.from(out, 'latin1').toString().replaceAll(/.\x08|\x1b\[[0-9;]*m/g, '')
    for (const { name, options, examples } of describeAllCommands()) {
      expect(text).toMatch(new RegExp(`^ +pbsfs ${name}\\b`, 'm'))
      for (const option of options) expect(text).toContain(`--${option.name}`)
      for (const { line } of examples) expect(text).toContain(line)
    }
    expect(text).toContain('\\xNN')
  })
})
