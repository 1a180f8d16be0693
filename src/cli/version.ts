import { readFileSync } from 'node:fs'

interface Package {
  readonly version: string
  readonly engines: { readonly node: string }
}

/** The version in package.json. */
export function readVersion(): string {
  return readPackage().version
}

/** The oldest version of the runtime that will do, as `20.19`. */
export function readOldestNode(): string {
  return readPackage().engines.node.replace(/^\D+/, '')
}

/** Two folders above this file, in dist/cli and in dist/bundle. */
function readPackage(): Package {
  return JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as Package
}
