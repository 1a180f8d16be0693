// Lets a child process of a test run the TypeScript files of test/ directly:
// node --import ./test/support/ts-loader.mjs test/support/child.ts
// What was translated is kept by content, so that only the first child loads the compiler.
import { register } from 'node:module'

const hooks = `
import { createHash } from 'node:crypto'
import { access, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

const CACHE = new URL('${new URL('../../node_modules/.cache/pbsfs-tests/', import.meta.url).href}')

export async function resolve(specifier, context, next) {
  if (specifier.startsWith('.') && specifier.endsWith('.js') && context.parentURL) {
    const url = new URL(specifier.replace(/\\.js$/, '.ts'), context.parentURL)
    try {
      await access(fileURLToPath(url))
      return { url: url.href, shortCircuit: true }
    } catch {}
  }
  return next(specifier, context)
}

export async function load(url, context, next) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context)
  const text = await readFile(fileURLToPath(url), 'utf8')
  const kept = new URL(createHash('sha256').update(text).digest('hex') + '.mjs', CACHE)
  const source = await readFile(kept, 'utf8').catch(() => translate(text, kept))
  return { format: 'module', source, shortCircuit: true }
}

async function translate(text, kept) {
  const { default: ts } = await import('${import.meta.resolve('typescript')}')
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, verbatimModuleSyntax: true }
  const { outputText } = ts.transpileModule(text, { compilerOptions })
  try {
    await mkdir(CACHE, { recursive: true })
    const part = fileURLToPath(kept) + '.' + process.pid
    await writeFile(part, outputText)
    await rename(part, kept)
  } catch {
    // An ordinary user cannot write there: nothing is kept.
  }
  return outputText
}
`
register('data:text/javascript,' + encodeURIComponent(hooks))
