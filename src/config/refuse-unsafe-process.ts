import { ConfigError } from './config-error.ts'
import type { Environment } from './read-secret.ts'

const INSPECTOR = /^--inspect/

/**
 * Refuses to hold keys in a process that its environment can change from outside: NODE_OPTIONS can preload code
 * into it, and an inspector can read its memory.
 */
export const refuseUnsafeProcess = (
  environment: Environment = process.env,
  execArgv: readonly string[] = process.execArgv,
): void => {
  if ((environment.NODE_OPTIONS ?? '') !== '') {
    throw new ConfigError('NODE_OPTIONS', 'must not be set for a daemon that holds keys: it can load code into it')
  }
  const inspector = execArgv.find((argument) => INSPECTOR.test(argument))
  if (inspector !== undefined) throw new ConfigError(inspector, 'an inspector could read the keys from memory')
}
