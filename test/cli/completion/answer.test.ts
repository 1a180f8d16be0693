import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { answer } from '#src/cli/completion/answer.js'
import { main } from '#src/cli/main.js'
import { captureOutput } from '../../support/captured-output.js'
import { exampleStore, repoDir } from '../../support/golden.js'
import { runProgram } from '../../support/run-program.js'
import { temporaryFolder } from '../../support/temporary-folder.js'

const folder = temporaryFolder()
const store = join(folder, 'store')
const web = `${store}::host/web/`

beforeAll(() => cpSync(exampleStore, store, { recursive: true }))

/** For zsh: whole words. */
async function ask(words: string[], env: NodeJS.ProcessEnv = {}): Promise<string[]> {
  const text = await answer('zsh', ['pbsfs', ...words], { HOME: folder, ...env })
  expect(text.endsWith('\n')).toBe(true)
  return text.slice(0, -1).split('\n').map((line) => line.replace(/\t.*/, ''))
}

describe('answer', () => {
  test.each<[string[], string[]]>([
    [['umo'], ['words', 'umount']],
    [['frob', ''], ['words']],
    [['ls', `${folder}/s`], ['open', `${store}::`]],
    [['ls', `${store}::`], ['open', `${store}::host/`, `${store}::vm/`, `${store}::ns/`]],
    [['ls', `${store}::ns/`], ['open', `${store}::ns/offsite/`]],
    [['ls', `${store}::ns/offsite/h`], ['open', `${store}::ns/offsite/host/`]],
    [['ls', `${web}l`], ['open', `${web}latest/`]],
    [['ls', `${web}2026-01-02T00:00:00Z/`], ['words', `${web}2026-01-02T00:00:00Z/root.pxar`]],
    [['ls', `${store}::vm/100/latest/`], ['words', `${store}::vm/100/latest/drive-scsi0.img`, `${store}::vm/100/latest/qemu-server.conf`]],
    [['ls', `${web}latest/root.pxar:e`], ['open', `${web}latest/root.pxar:etc/`]],
    [['ls', `${web}latest/root.pxar:etc/hos`], ['words', `${web}latest/root.pxar:etc/hostname`, `${web}latest/root.pxar:etc/hosts`]],
    [['ls', `${web}latest/root.pxar`, 'etc/n'], ['open', 'etc/nginx/']],
    [['cat', `${web}latest/root.pxar`, 'etc/hosts', 'etc/hostn'], ['words', 'etc/hostname']],
    [['diff', `${web}latest`, `${web}2026-01-01`], ['open', `${web}2026-01-01T00:00:00Z/`]],
    [['check', `${web}latest`, `${web}2026-01-01`], ['open', `${web}2026-01-01T00:00:00Z/`]],
    [['ls', '--repository', store, 'h'], ['open', 'host/']],
    [['ls', '--repository', store, 'host/web/latest', 'root'], ['open', 'root.pxar/']],
    [['ls', '--repository', `${folder}/s`], ['words', store]],
    [['map', '--repository', store, 'vm/100/latest', ''], ['words', 'drive-scsi0.img']],
    [['mount', '--driver='], ['words', '--driver=kernel', '--driver=fuse-native']],
    [['mount', '--log-level', 'w'], ['words', 'warn']],
    [['mount', '--keyfile', ''], ['files']],
    [['mount', 'a', ''], ['folders']],
    [['key', ''], ['words', 'show']],
    [['access', ''], ['words', 'setup', 'ranges', 'teardown', 'list']],
    [['access', 'setup', 'tape', `${store}::v`], ['open', `${store}::vm/`]],
    [['overlay', ''], ['words', 'status', 'commit', 'drop']],
    [['overlay', 'drop', ''], ['files']],
    [['overlay', 'commit', 'file', `${store}::v`], ['open', `${store}::vm/`]],
    [['key', 'show', ''], ['files']],
    [['completion', ''], ['words', 'bash', 'zsh']],
    [['ls', '--lo'], ['words', '--long']],
    [['ls', '-l', '--lo'], ['words']],
    [['find', 'x', '-newe'], ['words', '-newer']],
    [['ls', '/no/such::'], ['words']],
    [['ls', `${store}::host/nothing/`], ['words']],
    [['ls', `${store}::host/web/latest/nothing.pxar:`], ['words']],
  ])('%j', async (words, lines) => {
    expect(await ask(words).catch(() => ['words'])).toEqual(lines)
  })

  test('targets that access knows', async () => {
    const state = temporaryFolder()
    const setup = ['access', 'setup', 'tape', `${store}::vm/100/latest`, '--bitmap', 'weekly', '--state-dir', state]
    expect(await main(setup, captureOutput())).toBe(0)
    expect(await ask(['access', '--state-dir', state, 'teardown', ''])).toEqual(['words', 'tape'])
    expect(await ask(['access', '--state-dir', state, 'ranges', 'd'])).toEqual(['words'])
    expect(await ask(['access', '--state-dir', state, 'ranges', 'tape', ''])).toEqual(['words'])
    expect(await ask(['access', '--state-dir', join(state, 'none'), 'list', ''])).toEqual(['words'])
  })

  test('PBS_REPOSITORY names the store of a place', async () => {
    expect(await ask(['ls', 'host/w'], { PBS_REPOSITORY: store })).toEqual(['open', 'host/web/'])
    expect(await ask(['ls', `${folder}/s`], { PBS_REPOSITORY: store })).toEqual(['open', `${store}::`])
  })

  test('for bash: what readline puts behind the last colon', async () => {
    const text = await answer('bash', [' \t\n"\'><=;|&(:', `pbsfs ls ${web}2026-01-01T00:0`], {})
    expect(text).toBe('open\n00:00Z/\n')
  })

  test('commands and options come with a word about them', async () => {
    expect(await answer('zsh', ['pbsfs', 'umoun'], {})).toMatch(/^words\numount\tEnd a mount/)
  })
})

describe('the program', () => {
  test('is silent when something is wrong, and asks for no password', async () => {
    const output = captureOutput()
    expect(await main(['completion', 'answer', 'zsh', 'pbsfs', 'ls', '/proc/self/mem::x/'], output)).toBe(0)
    expect(output.texts).toEqual({ out: 'words\n', err: '' })
    const key = join(folder, 'proxmox-backup/encryption-key.json')
    cpSync(exampleStore, join(folder, 'proxmox-backup'), { recursive: true })
    writeFileSync(key, '{"broken')
    const { code, out, err } = await runProgram('setsid', ['node', join(repoDir, 'bin/pbsfs.js'), 'completion', 'answer', 'zsh', 'pbsfs', 'ls', `${web}latest/root.pxar:e`], { env: { XDG_CONFIG_HOME: folder } })
    expect({ code, out, err }).toEqual({ code: 0, out: `open\n${web}latest/root.pxar:etc/\t\n`, err: '' })
  })

  test('a script for each shell, and a sentence for others', async () => {
    for (const shell of ['bash', 'zsh']) {
      const output = captureOutput()
      expect(await main(['completion', shell], output)).toBe(0)
      expect(output.texts.out).toContain(`completion answer ${shell}`)
    }
    const output = captureOutput()
    expect(await main(['completion', 'fish'], output)).toBe(2)
    expect(output.texts.err).toContain('one for bash and one for zsh')
  })
})
