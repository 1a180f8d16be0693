/** Variables that hold a password, or lead to one. */
const SECRET = /^(?:PBS_ENCRYPTION_PASSWORD|PBSFS_MASTER_KEY_PASSWORD|PBS_PASSWORD)(?:_FD|_FILE|_CMD)?$/

/** The environment for a child: passwords are not its business. */
export function withoutSecrets(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !SECRET.test(name)))
}

/** Takes the passwords out of an environment that children will inherit. */
export function dropSecrets(env: NodeJS.ProcessEnv): void {
  for (const name of Object.keys(env)) if (SECRET.test(name)) delete env[name]
}
