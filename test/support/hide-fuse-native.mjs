// Makes a program believe that fuse-native, or the library it needs, is not there: with
// NODE_OPTIONS="--import FILE"; PBSFS_HIDE=libfuse for the library.
import { register } from 'node:module'

const hook = `
export async function resolve(specifier, context, next) {
  if (specifier !== 'fuse-native') return next(specifier, context)
  if (process.env.PBSFS_HIDE === 'libfuse') {
    throw new Error('libfuse.so.2: cannot open shared object file: No such file or directory')
  }
  throw Object.assign(new Error("Cannot find package 'fuse-native'"), { code: 'ERR_MODULE_NOT_FOUND' })
}
`
register(`data:text/javascript,${encodeURIComponent(hook)}`)
