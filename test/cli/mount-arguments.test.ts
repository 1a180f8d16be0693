import { describe, expect, test } from 'vitest'
import { mountCommand } from '#src/cli/commands/mount.js'
import { buildMountConfig } from '#src/cli/actions/mount.js'
import { plainMountArguments, readMountArguments, type MountArguments } from '#src/cli/mount-arguments.js'
import { asMountCommand } from '#src/cli/mount-helper.js'
import { bytesToArg, protectOperands } from '#src/cli/raw-args.js'
import { decodeBytes, parseMountConfig, type MountConfig } from '#src/daemon/mount-config.js'
import { UsageError } from '#src/errors/errors.js'
import yargs from 'yargs'

const cwd = Buffer.from('/home/u')

/** The arguments of `mount` as the real parser reads them. */
async function read(...args: string[]): Promise<MountArguments> {
  let result: MountArguments | undefined
  const command = mountCommand(() => undefined)
  await yargs()
    .parserConfiguration({ 'parse-numbers': false, 'parse-positional-numbers': false, 'boolean-negation': false })
    .command({ ...command, handler: (argv) => void (result = readMountArguments(argv)) })
    .exitProcess(false)
    .parseAsync(protectOperands(args))
  return result!
}

async function config(args: string[], env: NodeJS.ProcessEnv = {}): Promise<MountConfig> {
  return buildMountConfig(await read('mount', ...args), env, cwd)
}

const sourceOf = (value: MountConfig) => decodeBytes(value.source.text).toString('latin1')
const mountpointOf = (value: MountConfig) => decodeBytes(value.mountpoint).toString('latin1')

describe('SOURCE MOUNTPOINT', () => {
  test('paths are made absolute, defaults filled in', async () => {
    const value = await config(['store', 'mnt'])
    expect(sourceOf(value)).toBe('store')
    expect(mountpointOf(value)).toBe('/home/u/mnt')
    expect(decodeBytes(value.source.cwd).equals(cwd)).toBe(true)
    expect(value).toMatchObject({ cacheBytes: 256 * 2 ** 20, decoders: 2, driver: 'kernel', log: { level: 'info' } })
    expect(value.options).toMatchObject({ allowOther: false, nonempty: false })
  })

  test('numbers stay text, bytes stay bytes', async () => {
    const name = bytesToArg(Buffer.from([0x2f, 0xff, 0x0a]))
    const value = await config(['007', name])
    expect(sourceOf(value)).toBe('007')
    expect(value.mountpoint).toBe('2fff0a')
  })

  test('options before, behind and between', async () => {
    const value = await config(['-o', 'allow_other', '/s', '--cache-size=1G', '/m', '--decoders', '4', '-v', '--log', 'x.log'])
    expect([sourceOf(value), mountpointOf(value)]).toEqual(['/s', '/m'])
    expect(value).toMatchObject({ cacheBytes: 2 ** 30, decoders: 4, log: { level: 'debug' } })
    expect(decodeBytes(value.log.file!).toString()).toBe('/home/u/x.log')
    expect(value.options.allowOther).toBe(true)
  })

  test('behind -- everything is an operand', async () => {
    const value = await config(['-v', '--', '-store', '--help'])
    expect([sourceOf(value), mountpointOf(value)]).toEqual(['-store', '/home/u/--help'])
  })

  test('several -o add up; the last of another option counts', async () => {
    const value = await config(['/s', '/m', '-o', 'allow_other,uid=7', '-o', 'nonempty', '--decoders', '1', '--decoders', '3'])
    expect(value.options).toMatchObject({ allowOther: true, uid: 7, nonempty: true })
    expect(value.decoders).toBe(3)
  })

  test('options of pbsfs may stand in -o; its own option wins', async () => {
    const value = await config(['/s', '/m', '-o', 'cache_size=1G,decoders=3,driver=fuse-native,log=/l,log-level=warn'])
    expect(value).toMatchObject({ cacheBytes: 2 ** 30, decoders: 3, driver: 'fuse-native', log: { level: 'warn' } })
    expect((await config(['/s', '/m', '-o', 'decoders=3', '--decoders', '4'])).decoders).toBe(4)
  })

  test('locks: as options, in -o, not both', async () => {
    expect((await config(['/s', '/m'])).lock).toBeUndefined()
    expect((await config(['/s', '/m', '--no-lock'])).lock).toBe('none')
    expect((await config(['/s', '/m', '--require-lock'])).lock).toBe('require')
    expect((await config(['/s', '/m', '-o', 'ro,no-lock'])).lock).toBe('none')
    expect((await config(['/s', '/m', '-o', 'require_lock'])).lock).toBe('require')
    await expect(config(['/s', '/m', '--no-lock', '-o', 'require-lock'])).rejects.toThrow('exclude each other')
    await expect(config(['/s', '/m', '-o', 'no-lock=1'])).rejects.toThrow('no-lock=1')
    await expect(read('mount', '/s', '/m', '--no-lock', '--require-lock')).rejects.toThrow('exclude each other')
  })

  test('--payload-input', async () => {
    const value = await config(['a.mpxar', '/m', '--payload-input', '../b.ppxar'])
    expect(decodeBytes(value.source.payloadInput!).toString()).toBe('/home/u/../b.ppxar')
  })

  test('foreground', async () => {
    expect((await read('mount', 'a', 'b')).foreground).toBe(false)
    expect((await read('mount', 'a', 'b', '-f')).foreground).toBe(true)
    expect((await read('mount', 'a', 'b', '-d'))).toMatchObject({ foreground: true, debug: true, logLevel: 'debug' }) // prettier-ignore
  })

  test.each([
    [['', '/m'], 'source'],
    [['/s', ''], 'mountpoint'],
    [['/s', '/m', '--cache-size', '1M'], 'at least 64M'],
    [['/s', '/m', '--cache-size', 'much'], '--cache-size'],
    [['/s', '/m', '--decoders', '0'], '--decoders'],
    [['/s', '/m', '-o', 'driver=libfuse'], '--driver'],
    [['/s', '/m', '-o', 'log-level=loud'], '--log-level'],
    [['/s', '/m', '-o', 'cache-size'], 'cache-size'],
    [['/s', '/m', '--repository', 'r'], '--repository'],
    [['/s', '/m', '--ns', 'a'], '--ns'],
  ])('%j is refused', async (args, message) => {
    const given = await read('mount', ...args)
    expect(() => buildMountConfig(given, {}, cwd)).toThrow(UsageError)
    expect(() => buildMountConfig(given, {}, cwd)).toThrow(message)
  })
})

describe('SNAPSHOT ARCHIVE MOUNTPOINT', () => {
  const line = ['host/web/2026-01-02T00:00:00Z', 'root.pxar', '/mnt']

  test('with --repository and --ns', async () => {
    const value = await config([...line, '--repository', '/s', '--ns', 'a/b'])
    expect(sourceOf(value)).toBe('/s::ns/a/ns/b/host/web/2026-01-02T00:00:00Z/root.pxar')
    expect(mountpointOf(value)).toBe('/mnt')
  })

  test('with PBS_REPOSITORY; the option wins', async () => {
    const env = { PBS_REPOSITORY: 'main' }
    expect(sourceOf(await config(line, env))).toBe('main::host/web/2026-01-02T00:00:00Z/root.pxar')
    expect(sourceOf(await config([...line, '--repository', '/s'], env))).toMatch(/^\/s::/)
  })

  test('SOURCE alone may be a place in it, too', async () => {
    expect(sourceOf(await config(['host/web', '/mnt', '--repository', '/s', '--ns', 'a/b']))).toBe('/s::ns/a/ns/b/host/web')
    expect(sourceOf(await config(['vm/100/latest', '/mnt'], { PBS_REPOSITORY: 'main' }))).toBe('main::vm/100/latest')
    expect(sourceOf(await config(['/vm/100/latest', '/mnt'], { PBS_REPOSITORY: 'main' }))).toBe('/vm/100/latest')
  })

  test('without either', async () => {
    await expect(config(line)).rejects.toThrow('--repository')
  })
})

test('a plain line read without the parser is the same', async () => {
  for (const operands of [['/s', '/m'], ['007', 'a b'], ['a::host/x', '\udcff']]) {
    expect(plainMountArguments(operands)).toEqual(await read('mount', ...operands))
  }
})

test('the form of mount(8)', async () => {
  const args = asMountCommand(['/s', '/mnt', '-o', 'ro,dev,suid,allow_other'], new Set())
  const value = buildMountConfig(await read(...args!), {}, cwd)
  expect([sourceOf(value), mountpointOf(value), value.options.allowOther]).toEqual(['/s', '/mnt', true])
})

test('a configuration survives the pipe', async () => {
  const value = await config(['/s', '/m', '-o', 'uid=7'])
  const behind = parseMountConfig(JSON.stringify(value))
  expect(behind).toEqual(JSON.parse(JSON.stringify(value)))
  expect(behind.options.uid).toBe(7)
  expect(behind.options.gid).toBeUndefined()
  expect(() => parseMountConfig('{}')).toThrow('not complete')
})
