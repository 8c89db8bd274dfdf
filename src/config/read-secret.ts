/**
 * A secret comes from a file, a file descriptor or systemd's credentials directory. Directly in a variable it is
 * accepted, taken out of the environment so that no child process and no diagnostic report repeats it, and warned
 * about. Two explicit sources for one secret are refused: which one holds would be a guess.
 */
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Secret } from '../domain/secret.ts'
import { ConfigError } from './config-error.ts'
import { environmentName } from './options.ts'

const MAX_SECRET_BYTES = 4_096
const NEWLINE = 0x0a
const CARRIAGE_RETURN = 0x0d

export type Environment = Record<string, string | undefined>

export type SecretSources = {
  readonly name: string
  readonly environment: Environment
  readonly cwd: string
  /** From `--<name>-file` or the config file, already absolute. */
  readonly file?: string | undefined
  readonly fileWhere?: string | undefined
  /** From `--<name>-fd`. */
  readonly descriptor?: string | undefined
  readonly warn: (warning: string) => void
}

const readAll = (descriptor: number, where: string): Uint8Array => {
  const buffer = new Uint8Array(MAX_SECRET_BYTES + 1)
  let length = 0
  while (length < buffer.length) {
    const read = readSync(descriptor, buffer, length, buffer.length - length, null)
    if (read === 0) break
    length += read
  }
  if (length > MAX_SECRET_BYTES) {
    buffer.fill(0)
    throw new ConfigError(where, `a secret is at most ${MAX_SECRET_BYTES} bytes`)
  }
  if (length > 0 && buffer[length - 1] === NEWLINE) length -= 1
  if (length > 0 && buffer[length - 1] === CARRIAGE_RETURN) length -= 1
  const secret = buffer.slice(0, length)
  buffer.fill(0)
  if (length === 0) throw new ConfigError(where, 'the secret is empty')
  return secret
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'unknown'

const readFromFile = (path: string, where: string, warn: (warning: string) => void): Uint8Array => {
  let descriptor: number
  try {
    descriptor = openSync(path, 'r')
  } catch (error) {
    throw new ConfigError(where, `${path} cannot be read (${codeOf(error)})`)
  }
  try {
    const { mode } = fstatSync(descriptor)
    if ((mode & 0o077) !== 0) warn(`${path} can be read by other users: chmod 600 it`)
    return readAll(descriptor, where)
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError(where, `${path} cannot be read (${codeOf(error)})`)
  } finally {
    closeSync(descriptor)
  }
}

const readFromDescriptor = (text: string, where: string): Uint8Array => {
  if (!/^\d{1,4}$/.test(text)) throw new ConfigError(where, 'expected a file descriptor, a small whole number')
  const descriptor = Number(text)
  try {
    const secret = readAll(descriptor, where)
    if (descriptor > 2) closeSync(descriptor)
    return secret
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError(where, `file descriptor ${descriptor} cannot be read (${codeOf(error)})`)
  }
}

const takeFromVariable = (
  variable: string,
  environment: Environment,
  warn: (warning: string) => void,
): Uint8Array => {
  const value = environment[variable] ?? ''
  delete environment[variable]
  if (value === '') throw new ConfigError(variable, 'the secret is empty')
  if (Buffer.byteLength(value) > MAX_SECRET_BYTES)
    throw new ConfigError(variable, `a secret is at most ${MAX_SECRET_BYTES} bytes`)
  warn(
    `${variable} holds a secret; it was removed from the environment, but this user's other processes ` +
      `could read it: use ${variable}_FILE`,
  )
  return new TextEncoder().encode(value)
}

/**
 * The secret `name`, or undefined when no source has one. Precedence: flag, variable, config file, credentials.
 */
export const readSecret = (sources: SecretSources): Secret<Uint8Array> | undefined => {
  const { name, environment, warn } = sources
  const variable = environmentName(name)
  const fileVariable = `${variable}_FILE`
  const descriptorVariable = `${variable}_FD`
  const given = [variable, fileVariable, descriptorVariable].filter((key) => environment[key] !== undefined)
  if (
    sources.descriptor !== undefined &&
    sources.file !== undefined &&
    sources.fileWhere?.startsWith('--') === true
  ) {
    throw new ConfigError(`--${name}-fd`, `given together with --${name}-file: give one`)
  }
  if (given.length > 1) {
    delete environment[variable]
    throw new ConfigError(given.join(' and '), 'name the same secret: give one')
  }
  // The variable is emptied even when a flag outranks it: what stays there can leak for no use at all.
  const direct = given[0] === variable ? takeFromVariable(variable, environment, warn) : undefined
  const flagFile = sources.fileWhere?.startsWith('--') === true ? sources.file : undefined
  const bytes =
    (sources.descriptor === undefined ? undefined : readFromDescriptor(sources.descriptor, `--${name}-fd`)) ??
    (flagFile === undefined ? undefined : readFromFile(flagFile, `--${name}-file`, warn)) ??
    direct ??
    readFromVariables(sources, fileVariable, descriptorVariable) ??
    (sources.file === undefined ? undefined : readFromFile(sources.file, sources.fileWhere ?? name, warn)) ??
    readFromCredentials(name, environment)
  return bytes === undefined ? undefined : new Secret(bytes)
}

const readFromVariables = (
  sources: SecretSources,
  fileVariable: string,
  descriptorVariable: string,
): Uint8Array | undefined => {
  const file = sources.environment[fileVariable]
  const descriptor = sources.environment[descriptorVariable]
  if (file !== undefined) return readFromFile(resolve(sources.cwd, file), fileVariable, sources.warn)
  return descriptor === undefined ? undefined : readFromDescriptor(descriptor, descriptorVariable)
}

const readFromCredentials = (name: string, environment: Environment): Uint8Array | undefined => {
  const directory = environment.CREDENTIALS_DIRECTORY
  if (directory === undefined) return undefined
  const path = join(directory, name)
  return existsSync(path) ? readFromFile(path, `$CREDENTIALS_DIRECTORY/${name}`, () => {}) : undefined
}
