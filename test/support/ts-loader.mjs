// Lets a child process of a test run the TypeScript files of test/ directly:
// node --import ./test/support/ts-loader.mjs test/support/child.ts
import { register } from 'node:module'

const hooks = `
import { readFile, access } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

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
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, verbatimModuleSyntax: true }
  const { outputText } = ts.transpileModule(text, { compilerOptions, fileName: fileURLToPath(url) })
  return { format: 'module', source: outputText, shortCircuit: true }
}
`
register('data:text/javascript,' + encodeURIComponent(hooks.replace("from 'typescript'", `from '${import.meta.resolve('typescript')}'`)))
