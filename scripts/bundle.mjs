/*
 * Joins the built modules of each process and thread to few files, in dist/bundle, which is what runs: loading a module takes half a
 * millisecond, and a mount has several hundred. What is loaded when it is needed keeps a file of its own; packages are not touched.
 * Run after tsc.
 */
import { rmSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

/** What a process or a thread starts with. All of them lie side by side: they start one another by name. */
const PROGRAMS = [
  'cli/main',
  'daemon/daemon-main',
  'daemon/session-process',
  'daemon/session-thread',
  'fuse/push-thread',
  'source/store-worker',
  'workers/decode-worker',
]

const dist = fileURLToPath(new URL('../dist/', import.meta.url))
const bundle = `${dist}bundle`

async function join(program) {
  const name = basename(program)
  const build = await rolldown({ input: { [name]: `${dist}${program}.js` }, platform: 'node', external: (id) => !/^[./]/.test(id) })
  try {
    // Nothing is shared between programs, so that each loads as few files as it can; comments are a fifth of what would be parsed.
    await build.write({ dir: bundle, format: 'esm', comments: false, entryFileNames: '[name].js', chunkFileNames: `${name}-[name].js` })
  } finally {
    await build.close()
  }
}

rmSync(bundle, { recursive: true, force: true })
await Promise.all(PROGRAMS.map(join))
