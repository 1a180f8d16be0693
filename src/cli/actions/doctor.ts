import { escapeName, escapeText } from '../../bytes/names.js'
import { DEFAULT_CACHE_BYTES } from '../../daemon/mount-config.js'
import { findMounts } from '../../daemon/find-mounts.js'
import { kernelMountTable } from '../../daemon/kernel-mount-table.js'
import { checkHost } from '../../doctor/check-host.js'
import { checkMounting } from '../../doctor/check-mounting.js'
import { checkStore } from '../../doctor/check-store.js'
import { checkUser, type KeyFacts, type UserFacts } from '../../doctor/check-user.js'
import { ok, problem, type Check, type Finding } from '../../doctor/finding.js'
import { readHostFacts, readMountingFacts } from '../../doctor/host-facts.js'
import { readStoreFacts } from '../../doctor/store-facts.js'
import { isPbsfsError, messageOf } from '../../errors/errors.js'
import { loadLibrary } from '../../fuse-native/library.js'
import { describeKey } from '../../keys/describe-key.js'
import { parseFingerprint } from '../../keys/fingerprint.js'
import { MAX_KEY_FILE_SIZE } from '../../keys/key-file.js'
import { SERVER_RUNTIME_DIR } from '../../source/lock-files.js'
import { openStoreThread } from '../../source/store-thread.js'
import { paint } from '../colors.js'
import type { CommandContext } from '../context.js'
import { printable } from '../describe-error.js'
import { unknownVariables, variablesOf } from '../environment.js'
import { EXIT, type ExitCode } from '../exit-codes.js'
import { findKeys, type KeyArguments } from '../keys/key-files.js'
import { readSecretFile } from '../keys/read-secret.js'
import { findStoreSource } from '../open-source.js'
import { argToBytes } from '../raw-args.js'
import { describeAllCommands } from '../reference/all-commands.js'
import { quoteBytes, quoteEscaped } from '../../bytes/shell-quote.js'
import type { StoreArguments } from '../store-options.js'
import { formatTable } from '../table.js'
import { readOldestNode } from '../version.js'

export interface DoctorArguments extends KeyArguments {
  readonly source: StoreArguments | undefined
  readonly json: boolean
}

const DOCTOR_VERSION = 1

/** Checks without which nothing can be mounted, and those of SOURCE; their problems have exit codes of their own. */
const MOUNTING: ReadonlySet<Check> = new Set(['container', 'kernel', 'fuse-device', 'fusermount'])
const OF_SOURCE: ReadonlySet<Check> = new Set(['source', 'snapshots', 'locks'])

const LABELS = { ok: 'ok', note: 'note', problem: 'PROBLEM' } as const
const LABEL_STYLES = { ok: 'green', note: 'yellow', PROBLEM: 'red' } as const

/** `pbsfs doctor`: changes nothing, asks for nothing, shows no secret. */
export async function doctor(args: DoctorArguments, context: CommandContext): Promise<number> {
  const { env, output } = context
  const keys = readKeys(args, env)
  const findings = [
    ...checkHost(await readHostFacts({ oldestNode: readOldestNode(), cacheBytes: DEFAULT_CACHE_BYTES, fuseNative: await tryFuseNative() })),
    ...checkMounting(readMountingFacts(env['PATH'])),
    ...checkUser({ ...variablesIn(env), keys, mounts: await listMounts() }),
    ...(args.source === undefined ? [] : await lookAtSource(args.source, keys, context)),
  ]
  if (args.json) output.out(JSON.stringify({ version: DOCTOR_VERSION, ok: !findings.some(isProblem), findings }, null, 2) + '\n')
  else output.out(formatFindings(findings).replaceAll(/^(?:ok|note|PROBLEM)(?= )/gm, (label) => paint(label, LABEL_STYLES[label as keyof typeof LABEL_STYLES], output.colors)))
  return exitCodeFor(findings)
}

function formatFindings(findings: readonly Finding[]): string {
  const rows = findings.flatMap(({ check, state, text, remedy }) => [
    [LABELS[state], check, printable(text)],
    ...(remedy === undefined ? [] : [['', '', `-> ${printable(remedy)}`]]),
  ])
  const problems = findings.filter(isProblem).length
  const sum = problems === 0 ? 'nothing is in the way' : problems === 1 ? '1 problem' : `${problems} problems`
  return `${formatTable(rows)}${sum}\n`
}

function isProblem({ state }: Finding): boolean {
  return state === 'problem'
}

/** The code of what has to be put right first. */
export function exitCodeFor(findings: readonly Finding[]): ExitCode {
  const problems = findings.filter(isProblem).map(({ check }) => check)
  if (problems.length === 0) return EXIT.ok
  if (problems.some((check) => MOUNTING.has(check))) return EXIT.fuse
  if (problems.some((check) => OF_SOURCE.has(check))) return EXIT.unavailable
  return problems.every((check) => check === 'keys') ? EXIT.key : EXIT.failed
}

async function lookAtSource(args: StoreArguments, keys: readonly KeyFacts[], context: CommandContext): Promise<Finding[]> {
  try {
    const source = await findStoreSource(args, context)
    if (source.kind !== 'store') return [ok('source', `${source.files.map((path) => escapeName(Buffer.from(path))).join(' and ')}: an archive, not in a datastore`)]
    const store = await openStoreThread({ kind: 'local', path: source.path })
    try {
      const fingerprints = new Set(keys.flatMap(({ fingerprint }) => parseFingerprint(fingerprint ?? '') ?? []))
      return checkStore(await readStoreFacts({ source, store, runtimeDir: SERVER_RUNTIME_DIR, fingerprints }))
    } finally {
      await store.close()
    }
  } catch (error) {
    if (!isPbsfsError(error)) throw error
    const { remedy } = error.fields
    return [problem('source', error.message, typeof remedy === 'string' ? remedy : 'Is the disk there, is it mounted, may this user read it?')]
  }
}

function readKeys(args: KeyArguments, env: NodeJS.ProcessEnv): KeyFacts[] {
  const places = findKeys(args, env).flatMap((place) => (place.kind === 'fd' ? [] : [place.path]))
  return [...places, ...args.masterKeyfiles.map(argToBytes)].map((path) => {
    const name = escapeName(path)
    const facts = { path: name, failure: undefined, kind: undefined, protection: undefined, fingerprint: undefined, isOpen: false, closeWith: `chmod 600 ${quoteBytes(path)}` }
    try {
      const { bytes, openMode } = readSecretFile(path, MAX_KEY_FILE_SIZE)
      const { kind, protection, fingerprint } = describeKey(bytes, name)
      bytes.fill(0)
      const isSecret = protection !== undefined && protection !== 'master key'
      return { ...facts, kind, protection, fingerprint, isOpen: isSecret && openMode !== undefined }
    } catch (error) {
      if (!isPbsfsError(error)) throw error
      return { ...facts, failure: error.message }
    }
  })
}

async function listMounts(): Promise<UserFacts['mounts']> {
  const mounts = await findMounts(kernelMountTable)
  return mounts.map(({ mountpoint, state }) => ({ mountpoint, state, leaveWith: `pbsfs umount ${quoteEscaped(mountpoint)}` }))
}

function variablesIn(env: NodeJS.ProcessEnv): Pick<UserFacts, 'unknownVariables' | 'setVariables'> {
  const known = variablesOf(describeAllCommands().flatMap(({ options }) => options))
  const setVariables = [...known].filter((name) => (env[name] ?? '') !== '').sort()
  return { unknownVariables: unknownVariables(env, known).map(({ name, nearest }) => ({ name: escapeText(name), nearest })), setVariables }
}

async function tryFuseNative(): Promise<string | undefined> {
  try {
    await loadLibrary()
    return undefined
  } catch (error) {
    return messageOf(error)
  }
}
