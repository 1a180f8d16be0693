import { describe, expect, it } from 'vitest'
import { exitCodeOf } from '#src/cli/exit-codes.js'
import { MountError } from '#src/errors/errors.js'
import { loadLibrary } from '#src/fuse-native/library.js'

async function failure(load: () => Promise<unknown>): Promise<MountError> {
  const error: unknown = await loadLibrary(load).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(MountError)
  expect(exitCodeOf(error)).toBe(6)
  return error as MountError
}

describe('loadLibrary', () => {
  it('asks for the package by name and gives its class', async () => {
    class Library {}
    let asked = ''
    const library = await loadLibrary((name) => {
      asked = name
      return Promise.resolve({ default: Library })
    })
    expect(asked).toBe('fuse-native')
    expect(library).toBe(Library)
  })

  it.each([
    ['ES modules', 'ERR_MODULE_NOT_FOUND'],
    ['CommonJS', 'MODULE_NOT_FOUND'],
  ])('says how to get a package that is missing (%s)', async (_name, code) => {
    const error = await failure(() => Promise.reject(Object.assign(new Error('Cannot find it'), { code })))
    expect(error.message).toBe('the package fuse-native is not there')
    expect(error.fields['remedy']).toMatch(/npm install --include=optional/)
  })

  it('says how to get libfuse', async () => {
    const text = 'libfuse.so.2: cannot open shared object file: No such file or directory'
    const error = await failure(() => Promise.reject(Object.assign(new Error(text), { code: 'ERR_DLOPEN_FAILED' })))
    expect(error.message).toMatch(/^libfuse\.so\.2 is not there/)
    expect(error.fields['remedy']).toMatch(/apt install libfuse2/)
  })

  it('passes on any other reason, its first line only', async () => {
    const error = await failure(() => Promise.reject(new Error('No native build was found for arch=riscv\n    loaded from: /x')))
    expect(error.message).toBe('the package fuse-native cannot be loaded: No native build was found for arch=riscv')
    expect(error.fields['remedy']).toMatch(/Leave out --driver/)
  })

  it.each([undefined, null, {}, { default: {} }])('refuses what is no class: %s', async (module) => {
    await failure(() => Promise.resolve(module))
  })
})
