import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { exampleStore, repoDir } from '../support/golden.js'
import { MountRig } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { runOk, runProgram } from '../support/run-program.js'

let rig: MountRig
let installed: string
let files: string[]
beforeAll(async () => {
  rig = new MountRig()
  // The build is that of the tests; what is packed is what `files` of package.json lets through.
  const packed = await runOk('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', rig.folder], { cwd: repoDir })
  const tarball = readdirSync(rig.folder).find((name) => name.endsWith('.tgz'))!
  expect(packed).toContain(tarball)
  installed = rig.at('elsewhere/node_modules/pbsfs')
  mkdirSync(installed, { recursive: true })
  files = (await runOk('tar', ['-xvzf', rig.at(tarball), '--strip-components=1', '-C', installed])).trim().split('\n')
  // Beside it lies what npm would install, and nothing else of ours.
  const { dependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
  for (const name of Object.keys(dependencies)) {
    const link = rig.at('elsewhere/node_modules', name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(join(repoDir, 'node_modules', name), link)
  }
})
afterAll(() => rig.cleanUp())

describeWith({ fuse: true, programs: { npm: 'npm', tar: 'tar', diff: 'diffutils' } }, 'the packed program', () => {
  it('has what it needs and nothing of the workshop', () => {
    for (const name of ['README.md', 'LICENSE', 'bin/pbsfs.js', 'dist/bundle/main.js', 'examples']) expect([name, existsSync(join(installed, name))]).toEqual([name, true])
    expect(files.filter((name) => /^package\/(?:test|src|bench|\.ci|node_modules)\//.test(name))).toEqual([])
  })

  it('carries every file that a process or a thread of ours starts with', () => {
    const scripts = readdirSync(join(repoDir, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) => [...readFileSync(join(repoDir, 'src', name), 'utf8').matchAll(/new URL\('\.\/([\w-]+\.js)', import\.meta\.url\)/g)])
      .map(([, script]) => script!)
    expect(scripts).toContain('session-thread.js')
    for (const script of scripts) expect(files).toContain(`package/dist/bundle/${script}`)
  })

  it('carries the whole example store', async () => {
    expect((await runProgram('diff', ['-r', exampleStore, join(installed, 'examples/datastore')])).out).toBe('')
  })

  it('mounts its example from where it was installed', async () => {
    const run = (...args: string[]) => runProgram(process.execPath, [join(installed, 'bin/pbsfs.js'), ...args], { cwd: rig.at('elsewhere'), ...rig.who })
    const mounted = await run('mount', 'node_modules/pbsfs/examples/datastore', rig.at('mnt'))
    expect([mounted.code, mounted.err]).toEqual([0, ''])
    expect(readFileSync(rig.at('mnt/host/web/latest/root.pxar/etc/hosts'), 'latin1')).toContain('localhost')
    const left = await run('umount', rig.at('mnt'))
    expect([left.code, left.err]).toEqual([0, ''])
    expect(rig.remains()).toEqual([])
  })
})
