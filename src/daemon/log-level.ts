export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const

/** From the least to the most important. */
export type LogLevel = (typeof LOG_LEVELS)[number]
