import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'

/** Longest time any one program may take. */
const PROGRAM_TIMEOUT_MS = 300_000

export interface Finished {
  readonly seconds: number
  readonly output: string
}

export interface ProgramOptions {
  readonly cwd?: string
  /** Collect what it prints; else its output is thrown away. */
  readonly keepOutput?: boolean
  readonly env?: Readonly<Record<string, string>>
}

/** Runs a program to its end, timed from outside. Rejects when it fails, with what it said. */
export function runProgram(program: string, args: readonly string[], options: ProgramOptions = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const began = performance.now()
    const child = spawn(program, args, {
      cwd: options.cwd,
      stdio: ['ignore', options.keepOutput === true ? 'pipe' : 'ignore', 'pipe'],
      timeout: PROGRAM_TIMEOUT_MS,
      env: { ...process.env, LC_ALL: 'C', ...options.env },
    })
    let seconds = 0
    let output = ''
    let errors = ''
    child.stdout?.on('data', (text: Buffer) => (output += text.toString()))
    child.stderr?.on('data', (text: Buffer) => (errors += text.toString()))
    child.on('error', reject)
    child.on('exit', () => (seconds = (performance.now() - began) / 1000))
    child.on('close', (code, signal) => {
      if (code === 0) resolve({ seconds, output })
      else reject(new Error(`${program} ${args.join(' ')}: ${signal ?? `exit code ${code}`}\n${errors}`))
    })
  })
}

/** Seconds a line of shell takes. */
export async function timeShell(line: string, cwd: string): Promise<number> {
  return (await runProgram('/bin/sh', ['-c', line], { cwd })).seconds
}

/** Where a program lies on the PATH, or undefined. */
export function findProgram(name: string): string | undefined {
  for (const folder of (process.env['PATH'] ?? '').split(':')) {
    const path = join(folder, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      continue
    }
  }
  return undefined
}

/** A program of the benchmark's own, `children/NAME.js`: arguments for node. */
export function childProgram(name: string, setup: unknown): string[] {
  return [new URL(`../children/${name}.js`, import.meta.url).pathname, JSON.stringify(setup)]
}

/** Runs such a program; the JSON it printed. */
export async function runChild(name: string, setup: unknown): Promise<unknown> {
  const { output } = await runProgram(process.execPath, childProgram(name, setup), { keepOutput: true })
  return JSON.parse(output)
}

/** Runs such a program that measures itself; the figures it printed. */
export async function askChild<Name extends string>(name: string, setup: unknown, fields: readonly Name[]): Promise<Record<Name, number>> {
  return readFigures(await runChild(name, setup), fields)
}

export function readFigures<Name extends string>(value: unknown, fields: readonly Name[]): Record<Name, number> {
  const figures = {} as Record<Name, number>
  for (const field of fields) {
    const figure = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[field] : undefined
    if (typeof figure !== 'number') throw new Error(`a program of the benchmark gave no ${field}`)
    figures[field] = figure
  }
  return figures
}
