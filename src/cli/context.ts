import type { WaitingDaemon } from '../daemon/background.js'
import type { Output } from './output.js'

/** What a command gets besides its arguments. */
export interface CommandContext {
  readonly output: Output
  readonly env: NodeJS.ProcessEnv
  /** A daemon that was started while the arguments were read; the command takes it by calling this. */
  takeDaemon(): WaitingDaemon | undefined
}

/** The work of a command: resolves with the exit code, rejects with the error to describe. */
export type Action = (context: CommandContext) => Promise<number>

/** Given by a command's definition when its arguments are complete. */
export type Choose = (action: Action) => void
