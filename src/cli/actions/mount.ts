import { daemonScript, INHERITED_CHANNEL, startDaemon } from '../../daemon/background.js'
import { currentFolder, fromRoot } from '../../daemon/mountpoint.js'
import {
  decodeBytes, DEFAULT_CACHE_BYTES, DEFAULT_DECODERS, DRIVERS, encodeBytes, MAX_DECODERS, MIN_CACHE_BYTES, type Driver, type MountConfig,
} from '../../daemon/mount-config.js' // prettier-ignore
import { escapeName } from '../../bytes/names.js'
import { LOG_LEVELS, type LogLevel } from '../../daemon/log-level.js'
import { UsageError } from '../../errors/errors.js'
import { MS_RDONLY } from '../../fuse/mount-options.js'
import { dropSecrets } from '../../daemon/secret-environment.js'
import { chooseDamage } from '../damage-options.js'
import { findKeys, type KeyArguments } from '../keys/key-files.js'
import { chooseLock } from '../lock-options.js'
import type { MountArguments } from '../mount-arguments.js'
import type { CommandContext } from '../context.js'
import { printable } from '../describe-error.js'
import { EXIT } from '../exit-codes.js'
import { splitMountOptions } from '../mount-options.js'
import { parseCount, parseSize } from '../parse-size.js'
import { argToBytes } from '../raw-args.js'
import { quoteEscaped } from '../../bytes/shell-quote.js'
import { storeSourceText, vendorPlaceText } from '../source-text.js'
import { readVersion } from '../version.js'

/** `pbsfs mount`: returns when the mount answers, or with `--foreground` when it has ended. */
export async function mount(args: MountArguments, context: CommandContext): Promise<number> {
  const config = buildMountConfig(args, context.env, currentFolder())
  const secrets = await readSecrets(args, context)
  const tell = ({ mountpoint }: { readonly mountpoint: string }) => {
    context.output.out(`mounted at ${mountpoint}\nleave it with: pbsfs umount ${quoteEscaped(mountpoint)}\n`)
  }
  if (args.foreground) {
    const { serveForeground } = await import('./serve-foreground.js')
    await serveForeground(config, secrets, tell)
    return EXIT.ok
  }
  const onWait = waitNotice(config, context.output)
  const channel = channelOf(config)
  if (channel !== undefined) {
    const adopted = { ...config, mountpoint: encodeBytes(Buffer.from(INHERITED_CHANNEL)) }
    await startDaemon(daemonScript, channel).mount(adopted, onWait, secrets)
    return EXIT.ok
  }
  const daemon = context.takeDaemon() ?? startDaemon()
  const started = await daemon.mount(config, onWait, secrets)
  tell(started)
  // In the foreground the log is on the terminal.
  for (const remark of started.remarks) context.output.err(`pbsfs: ${printable(remark)}\n`)
  return EXIT.ok
}

/** Tells who waits for storage that does not answer. */
export function waitNotice(config: MountConfig, output: CommandContext['output']): (seconds: number) => void {
  return (seconds) => {
    output.err(`still waiting for ${escapeName(decodeBytes(config.source.text))} to answer (${seconds} s); Ctrl-C gives up\n`)
  }
}

/** The keys, unlocked and encoded: what takes time or a terminal happens here, before anything is mounted. */
export async function readSecrets(args: KeyArguments & Pick<MountArguments, 'options'>, { env, output }: CommandContext): Promise<Uint8Array> {
  const { keyfiles, masterKeyfiles } = splitMountOptions(args.options)
  const keys = {
    keyfiles: [...args.keyfiles, ...keyfiles],
    keyfd: args.keyfd,
    masterKeyfiles: [...args.masterKeyfiles, ...masterKeyfiles],
  }
  // What follows is much to load, and most mounts have no keys.
  if (keys.masterKeyfiles.length === 0 && findKeys(keys, env).length === 0) return new Uint8Array(0)
  const [{ loadSecrets }, { askOnTerminal }, { encodeSecrets }] = await Promise.all([
    import('../keys/load-secrets.js'),
    import('../keys/terminal.js'),
    import('../../keys/secrets.js'),
  ])
  const secrets = await loadSecrets(keys, { env, ask: askOnTerminal, tell: (text) => output.err(text) })
  dropSecrets(env)
  return encodeSecrets(secrets)
}

/** The descriptor in `/dev/fd/N`: mounted by who called us. */
function channelOf(config: MountConfig): number | undefined {
  const match = /^\/dev\/fd\/(\d{1,6})$/.exec(decodeBytes(config.mountpoint).toString('latin1'))
  return match === null ? undefined : Number(match[1])
}

/** The configuration a command line means. UsageError names the argument that is wrong. */
export function buildMountConfig(args: MountArguments, env: NodeJS.ProcessEnv, cwd: Buffer): MountConfig {
  const { mount: options, own, flags, fallbacks: listed } = splitMountOptions(args.options)
  const lock = chooseLock(args.lock === 'none' || flags.has('no-lock'), args.lock === 'require' || flags.has('require-lock'))
  const { damaged, fallbacks } = chooseDamage(args.damaged ?? own.damaged, [...(args.fallbacks ?? []), ...listed])
  const mountpoint = args.operands.at(-1)
  const cacheSize = args.cacheSize ?? own['cache-size']
  const decoders = args.decoders ?? own.decoders
  const payloadInput = args.payloadInput ?? own['payload-input']
  const logFile = args.log ?? own.log
  const overlay = args.overlay ?? own.overlay
  const driver = oneOf<Driver>(args.driver ?? own.driver, DRIVERS, '--driver') ?? 'kernel'
  if (overlay !== undefined && driver !== 'kernel') throw new UsageError('--overlay works with --driver kernel alone')
  if (mountpoint === undefined || mountpoint === '') throw new UsageError('the mountpoint is missing')
  return {
    pbsfs: readVersion(),
    source: {
      text: encodeBytes(sourceText(args, env)),
      cwd: encodeBytes(cwd),
      ...(payloadInput === undefined ? {} : { payloadInput: encodeBytes(fromRoot(argToBytes(payloadInput), cwd)) }),
    },
    mountpoint: encodeBytes(fromRoot(argToBytes(mountpoint), cwd)),
    options: overlay === undefined ? options : { ...options, flags: options.flags & ~MS_RDONLY },
    ...(overlay === undefined ? {} : { overlay: encodeBytes(fromRoot(argToBytes(overlay), cwd)) }),
    cacheBytes: cacheSize === undefined ? DEFAULT_CACHE_BYTES : cacheBytes(cacheSize),
    decoders: decoders === undefined ? DEFAULT_DECODERS : parseCount(decoders, '--decoders', 1, MAX_DECODERS),
    ...(args.force ? { force: true } : {}),
    ...(lock === undefined ? {} : { lock }),
    ...(damaged === undefined ? {} : { damaged }),
    ...(fallbacks.length === 0 ? {} : { fallbacks: fallbacks.map((fallback) => encodeBytes(argToBytes(fallback))) }),
    driver,
    log: {
      level: oneOf<LogLevel>(args.logLevel ?? own['log-level'], LOG_LEVELS, '--log-level') ?? 'info',
      ...(logFile === undefined ? {} : { file: encodeBytes(fromRoot(argToBytes(logFile), cwd)) }),
    },
  }
}

function sourceText(args: MountArguments, env: NodeJS.ProcessEnv): Buffer {
  const [source, archive, mountpoint] = args.operands
  if (source === undefined || source === '') throw new UsageError('the source is missing')
  if (mountpoint === undefined) return storeSourceText(source, args, env)
  const missing = 'SNAPSHOT ARCHIVE MOUNTPOINT needs --repository (or PBS_REPOSITORY): the path or name of the store'
  return vendorPlaceText({ snapshot: source, archive: archive ?? '' }, args, env, missing)
}

export function cacheBytes(text: string): number {
  const bytes = parseSize(text, '--cache-size')
  if (bytes < MIN_CACHE_BYTES) throw new UsageError(`--cache-size: "${text}" is too small; at least 64M`)
  return bytes
}

function oneOf<T extends string>(text: string | undefined, known: readonly T[], option: string): T | undefined {
  if (text === undefined || known.includes(text as T)) return text as T | undefined
  throw new UsageError(`${option}: "${text}" is none of ${known.join(', ')}`)
}
