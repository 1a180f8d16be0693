/** What mount(8) passes to a helper besides `-o`; none of it changes what is mounted. */
const HELPER_FLAGS = new Set(['-n', '-s', '-v', '-f'])

/**
 * mount(8) runs `pbsfs SRC MNT -o OPTIONS` for `mount -t fuse.pbsfs SRC MNT`, without a command.
 * Returns the same as arguments of `mount`, or undefined when the line is anything else. Only the
 * exact form counts (absolute mountpoint, at least one `-o`, nothing more), so that a mistyped
 * command is never taken for a source.
 */
export function asMountCommand(args: readonly string[], commands: ReadonlySet<string>): string[] | undefined {
  const [source, mountpoint, ...rest] = args
  if (source === undefined || source === '' || source.startsWith('-') || commands.has(source)) return undefined
  if (mountpoint?.startsWith('/') !== true) return undefined
  const options: string[] = []
  for (let i = 0; i < rest.length; i++) {
    const arg = rest[i]!
    if (HELPER_FLAGS.has(arg)) continue
    if (arg !== '-o' || rest[i + 1] === undefined) return undefined
    options.push('-o', rest[++i]!)
  }
  return options.length === 0 ? undefined : ['mount', ...options, source, mountpoint]
}
