import { existsSync, realpathSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { exampleStore, goldenDir, repoDir } from '../support/golden.js'
import { encodeKeyFile } from '../support/key-writer.js'
import { describeWith } from '../support/needs.js'
import { runProgram } from '../support/run-program.js'
import { temporaryFolder } from '../support/temporary-folder.js'
import { KEY, Terminal, type TerminalOptions } from '../support/terminal.js'
import { testKey } from '../support/datastore-writer.js'

const program = join(repoDir, 'bin/pbsfs.js')
const folder = realpathSync(temporaryFolder())
const PYTHON = { programs: { python3: 'python3' } }

const open = new Set<Terminal>()
afterEach(async () => {
  for (const terminal of open) await terminal.close()
  open.clear()
})

function pbsfs(args: readonly string[], options: TerminalOptions = {}): Terminal {
  const terminal = new Terminal(process.execPath, [program, ...args], { cwd: folder, ...options, env: { HOME: folder, XDG_CONFIG_HOME: folder, ...options.env } })
  open.add(terminal)
  return terminal
}

describeWith(PYTHON, 'a password on a terminal', () => {
  const key = join(folder, 'locked.key')
  writeFileSync(key, encodeKeyFile(testKey, { password: 'correct horse' }), { mode: 0o600 })
  const line = ['ls', exampleStore, '--keyfile', key]

  it('is asked for, edited, not shown, and opens the key', async () => {
    const terminal = pbsfs(line)
    await terminal.waitFor(/Password of the key .*locked\.key: $/)
    terminal.type(`corrext\x7f\x7fct horse${KEY.enter}`)
    expect(await terminal.end()).toBe(0)
    expect(terminal.lines).toEqual([expect.stringMatching(/^Password of the key .*: *$/), 'host', 'ns', 'vm'])
    expect(terminal.bytes).not.toMatch(/corr|horse/)
  })

  it('a wrong one is asked for again, three times in all', async () => {
    const terminal = pbsfs(line)
    for (let from = 0, attempt = 0; attempt < 3; attempt++) {
      await terminal.waitFor(/Password of the key [^\n]*: $/, from)
      from = terminal.bytes.length
      terminal.type(`wrong one${KEY.enter}`)
    }
    expect(await terminal.end()).toBe(5)
    expect(terminal.bytes).not.toContain('wrong one')
    expect(terminal.lines.join('\n')).toMatch(/pbsfs: .*wrong password/)
  })

  it('Ctrl-C ends it, and the terminal shows again what is typed', async () => {
    const terminal = new Terminal('/bin/bash', ['--norc', '--noprofile', '-c', `'${process.execPath}' '${program}' ${line.map((word) => `'${word}'`).join(' ')}; echo "ended with $?"; stty -a`], { env: { HOME: folder } })
    open.add(terminal)
    await terminal.waitFor(/Password of the key .*: $/)
    terminal.type(`half${KEY.interrupt}`)
    await terminal.waitFor(/ended with [^0]/)
    expect(await terminal.end()).toBe(0)
    expect(terminal.bytes).toMatch(/ echo /)
    expect(terminal.bytes).toMatch(/ icanon /)
    expect(terminal.bytes).not.toContain('half')
  })
})

describeWith({ ...PYTHON, fuse: true }, 'mount --foreground on a terminal', () => {
  it('Ctrl-C unmounts', async () => {
    const mountpoint = join(folder, 'mnt')
    const terminal = pbsfs(['mount', '-f', exampleStore, mountpoint])
    await terminal.waitFor(/leave it with/)
    terminal.type(KEY.interrupt)
    expect(await terminal.end()).toBe(0)
    expect(existsSync(mountpoint)).toBe(false)
  })
})

describeWith({ ...PYTHON, golden: true }, 'a progress bar', () => {
  const line = ['check', `${join(goldenDir() ?? '', 'store')}::vm/100`, '--read']

  it('fits the terminal, tells rate and share, and goes away', async () => {
    const terminal = pbsfs(line, { columns: 60 })
    expect(await terminal.end()).toBe(0)
    const drawn = [...terminal.bytes.matchAll(/\r\x1b\[K([^\r\n\x1b]+)/g)].map((match) => match[1]!)
    expect(drawn.some((bar) => /^reading chunks \[[#.]{8,24}\] \d+ % \(\d+ of \d+\)/.test(bar))).toBe(true)
    for (const bar of drawn) expect(bar.length).toBeLessThan(60)
    expect(terminal.lines.join('\n')).not.toContain('[')
    expect(terminal.lines.join('\n')).toContain('no damage found')
  })

  it('Ctrl-C ends the work at once', async () => {
    const terminal = pbsfs(line)
    await terminal.waitFor(/reading chunks/)
    terminal.type(KEY.interrupt)
    expect(await terminal.end()).toBe(130)
  })
})

describeWith({ ...PYTHON, golden: true }, 'restore on a terminal', () => {
  const disk = join(folder, 'disk.raw')
  const line = ['restore', `${join(goldenDir() ?? '', 'store')}::vm/100/latest/drive-scsi0.img`, disk]

  it('Ctrl-C leaves nothing half-written; the same line goes on, with a bar that goes away', async () => {
    const stopped = pbsfs(line, { columns: 50 })
    await stopped.waitFor(/\[[#.]{8,24}\] \d+ %/)
    stopped.type(KEY.interrupt)
    expect(await stopped.end()).toBe(1)
    expect(existsSync(disk)).toBe(false)
    const terminal = pbsfs(line, { columns: 50 })
    expect(await terminal.end()).toBe(0)
    const bars = [...terminal.bytes.matchAll(/\r\x1b\[K([^\r\n\x1b]*\[[#.]{8,24}\][^\r\n\x1b]*)/g)].map((match) => match[1]!)
    expect(bars.length).toBeGreaterThan(0)
    for (const bar of bars) expect(bar.length).toBeLessThan(50)
    expect(terminal.lines.join('\n')).not.toContain('[#')
    expect(existsSync(disk)).toBe(true)
  })
})

describeWith({ ...PYTHON, golden: true }, 'a terminal that can do nothing', () => {
  it('gets no bar', async () => {
    const terminal = pbsfs(['check', `${join(goldenDir() ?? '', 'store')}::host/tricky/latest`, '--read'], { env: { TERM: 'dumb' } })
    expect(await terminal.end()).toBe(0)
    expect(terminal.bytes).not.toContain('\x1b')
    expect(terminal.bytes).toContain('no damage found')
  })
})

describeWith(PYTHON, 'colours', () => {
  it('an error is red, the head of a table bold', async () => {
    const failed = pbsfs(['ls', '/no/such'])
    expect(await failed.end()).toBe(4)
    expect(failed.bytes).toMatch(/^\x1b\[31mpbsfs:\x1b\[0m \/no\/such/)
    const list = pbsfs(['list', exampleStore], { columns: 200 })
    expect(await list.end()).toBe(0)
    expect(list.bytes).toMatch(/^\x1b\[1mSNAPSHOT +TIME +SIZE +ARCHIVES +STATE +NOTES\x1b\[0m\r\n(?:[^\x1b]*)$/)
  })

  it.each([{ NO_COLOR: '1' }, { TERM: 'dumb' }])('none with %j', async (env) => {
    const failed = pbsfs(['ls', '/no/such'], { env })
    await failed.end()
    const list = pbsfs(['list', exampleStore], { env })
    await list.end()
    expect(failed.bytes + list.bytes).not.toContain('\x1b')
  })

  it('none where there is no terminal', async () => {
    const { out, err } = await runProgram(process.execPath, [program, 'list', `${exampleStore}`], { env: { TERM: 'xterm' } })
    const failed = await runProgram(process.execPath, [program, 'list', '/no/such'], { env: { TERM: 'xterm' } })
    expect(out + err + failed.err).not.toContain('\x1b')
    expect(out).toMatch(/^SNAPSHOT/)
  })
})
