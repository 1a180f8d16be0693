import { write } from 'node:fs'
import { isRegular } from '../../browse/tree-view.js'
import { TargetError, UsageError } from '../../errors/errors.js'
import type { CommandContext } from '../context.js'
import { EXIT } from '../exit-codes.js'
import { findTarget, withSource } from '../open-source.js'
import { isReaderGone } from '../output.js'
import type { StoreArguments } from '../store-options.js'

export interface CatArguments extends StoreArguments {
  readonly paths: readonly string[]
}

const STDOUT = 1
/** A pipe that is full and does not block is tried again after so many milliseconds. */
const RETRY_MS = 5

/** `pbsfs cat`: contents of files, one behind the other, as bytes. */
export async function cat(args: CatArguments, context: CommandContext): Promise<number> {
  return withSource(args, context, async (source) => {
    const paths = args.paths.length === 0 ? [undefined] : args.paths
    try {
      for (const path of paths) {
        const found = await findTarget(source, path)
        if (!isRegular(found)) throw new UsageError(`${path ?? args.source} is no file; pbsfs ls shows what is there`)
        for await (const piece of source.view.read(found)) await writeAll(piece)
      }
    } catch (error) {
      if (isReaderGone(error)) return EXIT.ok
      throw error
    }
    return source.exitCode()
  })
}

async function writeAll(bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += await new Promise<number>((resolve, reject) => {
      write(STDOUT, bytes, at, bytes.length - at, null, (error, written) => {
        if (error === null) resolve(written)
        else if (error.code === 'EAGAIN') setTimeout(() => resolve(0), RETRY_MS)
        else reject(isReaderGone(error) ? error : new TargetError(`standard output cannot be written: ${error.message}`, {}, { cause: error }))
      })
    })
  }
}
