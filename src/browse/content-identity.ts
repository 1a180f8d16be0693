import { createHash } from 'node:crypto'
import { isRegular, type Found, type TreeView } from './tree-view.js'

/** A text that is the same for two files only if their contents are, without reading them; undefined: cannot be told. */
export async function identifyContent(view: TreeView, file: Found): Promise<string | undefined> {
  if (!isRegular(file)) return undefined
  if (file.attr.size === 0) return ''
  const { stream, start, size } = await view.content(file)
  await stream.prepare?.()
  return stream.identify?.(start, size)
}

/** SHA-256 of the content, which is read. */
export async function digestContent(view: TreeView, file: Found): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of view.read(file)) hash.update(piece)
  return hash.digest('hex')
}
