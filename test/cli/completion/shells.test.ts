import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { exampleStore, repoDir } from '../../support/golden.js'
import { describeWith } from '../../support/needs.js'
import { KEY, Terminal } from '../../support/terminal.js'
import { temporaryFolder } from '../../support/temporary-folder.js'

const folder = temporaryFolder()
const store = join(folder, 'a store')

const SHELLS = {
  bash: { args: ['--norc', '--noprofile', '-i'], prepare: `PS1='ready> '; bind 'set enable-bracketed-paste off'; eval "$(pbsfs completion bash)"` },
  zsh: { args: ['-f', '-i'], prepare: `unsetopt prompt_sp prompt_cr; PS1='ready> '; autoload -Uz compinit; compinit -u -D; eval "$(pbsfs completion zsh)"` },
} as const

/** Lines as they are typed (`^` is the tab key), and the arguments they become. */
const LINES: readonly (readonly [typed: string, ...args: string[]])[] = [
  ['pbsfs umo^', 'umount'],
  ['pbsfs mount --driver=fuse^', 'mount', '--driver=fuse-native'],
  ['pbsfs find x -ina^', 'find', 'x', '-iname'],
  ['pbsfs ls plain^h^w^2026-01-01^r^', 'ls', 'plain::host/web/2026-01-01T00:00:00Z/root.pxar'],
  ['pbsfs cat plain::host/web/latest/root.pxar:etc/hosts^', 'cat', 'plain::host/web/latest/root.pxar:etc/hosts'],
  ['pbsfs ls a^v^10^lat^', 'ls', 'a store::vm/100/latest/'],
  ["pbsfs ls 'a^v^", 'ls', 'a store::vm/'],
  ['pbsfs key show some^', 'key', 'show', 'some.key'],
]

for (const shell of ['bash', 'zsh'] as const) {
  describeWith({ programs: { [shell]: shell, python3: 'python3' } }, `completion in ${shell}`, () => {
    let terminal: Terminal
    beforeAll(async () => {
      cpSync(exampleStore, store, { recursive: true })
      cpSync(exampleStore, join(folder, 'plain'), { recursive: true })
      writeFileSync(join(folder, 'some.key'), '')
      mkdirSync(join(folder, 'bin'), { recursive: true })
      // What is not a question of the shell only shows its arguments.
      const fake = `#!/bin/sh\n[ "$1" = completion ] && exec '${process.execPath}' '${join(repoDir, 'bin/pbsfs.js')}' "$@"\nprintf '<%s>' "$@"; echo .\n`
      writeFileSync(join(folder, 'bin/pbsfs'), fake, { mode: 0o755 })
      const { args, prepare } = SHELLS[shell]
      terminal = new Terminal(shell, args, { cwd: folder, columns: 200, env: { PATH: `${join(folder, 'bin')}:${process.env['PATH']}`, TERM: 'dumb', HOME: folder } })
      terminal.type(`${prepare}; echo go''ing${KEY.enter}`)
      await terminal.waitFor(/going[^]*ready> /)
    })
    afterAll(() => terminal.close())

    it.each(LINES)('%s', async (typed, ...args) => {
      const from = terminal.bytes.length
      // One key after the other: a shell drops what is typed while it completes.
      for (const part of typed.split(/(\^)/)) {
        if (part === '') continue
        const before = terminal.bytes.length
        terminal.type(part === '^' ? KEY.tab : part)
        await terminal.waitFor(part === '^' ? /[^]/ : new RegExp(part.at(-1)!.replace(/\W/, '\\$&')), before)
      }
      // readline ends a quote by itself.
      const quote = shell === 'zsh' && typed.includes("'") ? "'" : ''
      terminal.type(`${quote}${KEY.enter}`)
      const [, shown] = await terminal.waitFor(/\n((?:<[^\n]*>)\.)/, from)
      expect(shown).toBe(`${args.map((arg) => `<${arg}>`).join('')}.`)
    })
  })
}
