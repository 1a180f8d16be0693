import { spawnSync } from 'node:child_process'
import { accessSync, closeSync, constants, existsSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'vitest'
import { goldenDir, repoDir } from './golden.js'

/** What a group of tests cannot do without. */
export interface Needs {
  /** Programs, each with the Debian package it comes in. */
  readonly programs?: Readonly<Record<string, string>>
  /** Something can be mounted here, by this user. */
  readonly fuse?: boolean
  readonly root?: boolean
  /** A second, ordinary user may mount: for tests that run as root and become another user. */
  readonly user?: boolean
  /** The data of the real server, beside the repository. */
  readonly golden?: boolean
  /** The optional dependency fuse-native, and the library it needs. */
  readonly fuseNative?: boolean
}

/** Set where everything must be there: what is missing then fails instead of being skipped. */
const NO_SKIP = process.env['PBSFS_NO_SKIP'] === '1'

/** Bit of CAP_SYS_ADMIN in the capability masks of /proc/self/status. */
const CAP_SYS_ADMIN = 21n

/** A folder that PATH of an ordinary user often lacks. */
const SYSTEM_FOLDERS = ['/usr/sbin', '/sbin']

/** Why the tests cannot run here, one sentence for each thing missing; empty: they can. */
export function findMissing(needs: Needs): string[] {
  const missing: string[] = []
  for (const [program, debianPackage] of Object.entries(needs.programs ?? {})) {
    if (findProgram(program) === undefined) missing.push(`${program} is missing (apt-get install ${debianPackage})`)
  }
  const isRoot = process.geteuid?.() === 0
  if (needs.root === true && !isRoot) missing.push('only root can do this (run the tests as root)')
  if (needs.fuse === true || needs.user === true) missing.push(...missingForFuse(isRoot))
  if (needs.user === true && isRoot && findProgram('fusermount3') === undefined) {
    missing.push('fusermount3 is missing (apt-get install fuse3)')
  }
  if (needs.golden === true && goldenDir() === undefined) missing.push('the golden data is missing (../shared/golden, or PBSFS_GOLDEN)')
  if (needs.fuseNative === true) missing.push(...missingForFuseNative())
  return [...new Set(missing)]
}

/** Path of a program in PATH, or in the folders of system programs. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(':'), ...SYSTEM_FOLDERS]
  return folders.map((folder) => join(folder, name)).find((path) => path.startsWith('/') && isExecutable(path))
}

/**
 * `describe` for tests with needs. Missing ones are named on the terminal and the tests are
 * skipped; where nothing may be skipped, a test that fails stands in for them.
 */
export function describeWith(needs: Needs, name: string, body: () => void): void {
  const missing = findMissing(needs)
  if (missing.length === 0) {
    describe(name, body)
  } else if (NO_SKIP) {
    describe(name, () => {
      it('has what it needs', () => {
        throw new Error(missing.join('; '))
      })
    })
  } else {
    process.stderr.write(`skipped: ${name}: ${missing.join('; ')}\n`)
    describe.skip(`${name} [${missing.join('; ')}]`, body)
  }
}

/**
 * The same for one test among others: ends it as skipped, named on the terminal, when something is
 * missing; where nothing may be skipped it fails.
 */
export function skipWithout(needs: Needs, context: Pick<TestContext, 'skip' | 'task'>): void {
  const missing = findMissing(needs)
  if (missing.length === 0) return
  if (NO_SKIP) throw new Error(missing.join('; '))
  process.stderr.write(`skipped: ${context.task.name}: ${missing.join('; ')}\n`)
  context.skip(missing.join('; '))
}

function missingForFuse(isRoot: boolean): string[] {
  if (!existsSync('/dev/fuse')) return ['/dev/fuse is missing (modprobe fuse; a container: --device /dev/fuse)']
  try {
    closeSync(openSync('/dev/fuse', 'r+'))
  } catch {
    return ['/dev/fuse may not be used by this user (a container: --device /dev/fuse)']
  }
  if (isRoot && !maySysAdmin()) return ['root may not mount here (a container: --cap-add SYS_ADMIN)']
  if (!isRoot && findProgram('fusermount3') === undefined) return ['fusermount3 is missing (apt-get install fuse3)']
  return []
}

function missingForFuseNative(): string[] {
  const { status, stderr } = spawnSync(process.execPath, ['-e', "require('fuse-native')"], { cwd: repoDir, encoding: 'utf8' })
  if (status === 0) return []
  return [stderr.includes('libfuse') ? 'libfuse.so.2 is missing (apt-get install libfuse2)' : 'the package fuse-native is missing (npm ci)']
}

function maySysAdmin(): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0'
  return ((BigInt(`0x${mask}`) >> CAP_SYS_ADMIN) & 1n) === 1n
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
