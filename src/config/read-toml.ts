/**
 * The config file: flat keys, one an option, and tables: `[[socket]]`, `[[tls_identity]]`, `[[chain]]`, `[[token]]`,
 * `[[granting_daemon]]`, `[[delegation_webhook]]`. What is not known is refused with its place, because a misspelt limit that is ignored is a limit that does not
 * hold.
 */
import { readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { parse, TomlError } from 'smol-toml'
import type { BoundSocket, GrantingDaemonSettings, TlsIdentity, TokenSettings } from './config.ts'
import { ConfigError } from './config-error.ts'
import { CHAIN_KEYS, readChain, type ReadChain, readToken, requireDistinct, TOKEN_KEYS } from './read-chains.ts'
import {
  DELEGATION_WEBHOOK_KEYS,
  GRANTING_DAEMON_KEYS,
  readDelegationWebhook,
  readGrantingDaemon,
  type ReadWebhook,
  requireDistinctDaemons,
  requireKnownDaemons,
} from './read-delegation.ts'
import { OPTION_NAMES, SECRET_NAMES, tomlKey } from './options.ts'
import {
  parseIdentity,
  parseKeyIdSetting,
  parseSocketPath,
  SettingProblem,
  type RawSetting,
} from './parse-setting.ts'

const MAX_FILE_BYTES = 1_048_576
const MAX_TABLES = 64

export type FileSettings = {
  readonly path: string
  readonly baseDir: string
  /** Option and `…_file` keys as they stand in the file, with the place to name in a refusal. */
  readonly values: ReadonlyMap<string, { readonly raw: RawSetting; readonly where: string }>
  readonly sockets: readonly BoundSocket[]
  readonly tlsIdentities: readonly TlsIdentity[]
  readonly chains: readonly ReadChain[]
  readonly tokens: readonly TokenSettings[]
  readonly grantingDaemons: readonly GrantingDaemonSettings[]
  readonly delegationWebhooks: readonly ReadWebhook[]
}

const FLAT_KEYS: ReadonlySet<string> = new Set([
  ...OPTION_NAMES.map(tomlKey),
  ...SECRET_NAMES.map((name) => `${tomlKey(name)}_file`),
])
const TABLES: ReadonlySet<string> = new Set(['tls_identity', 'chain', 'token', 'granting_daemon', 'delegation_webhook'])
const SECRET_KEYS: ReadonlySet<string> = new Set(SECRET_NAMES.map(tomlKey))

const readBounded = (path: string): string => {
  try {
    if (statSync(path).size > MAX_FILE_BYTES) throw new ConfigError(path, `larger than ${MAX_FILE_BYTES} bytes`)
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError(path, `cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`)
  }
}

const parseDocument = (path: string, text: string): Record<string, unknown> => {
  try {
    return parse(text, { integersAsBigInt: 'asNeeded', unsafeKeyBehaviour: 'throw', maxDepth: 8 })
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const firstLine = error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '') ?? ''
    throw new ConfigError(`${path}:${error.line}:${error.column}`, firstLine)
  }
}

/**
 * The parser keeps no positions, so the place is looked up in the text: the n-th table of that name, or the
 * top.
 */
const placeOf = (path: string, text: string, key: string, table?: string, tableIndex = 0): string => {
  let seen = -1
  let inside = table === undefined
  for (const [index, line] of text.split('\n').entries()) {
    const header = /^\s*\[{1,2}\s*"?([^\]"]+?)"?\s*\]{1,2}/.exec(line)?.[1]
    if (header !== undefined) {
      if (table === undefined && (header === key || header.startsWith(`${key}.`))) {
        return `${path}:${index + 1}:${line.indexOf(header) + 1}`
      }
      if (header === table) seen += 1
      inside = header === table && seen === tableIndex
      continue
    }
    const name = /^\s*["']?([^\s"'=.]+)["']?\s*[.=]/.exec(line)?.[1]
    if (inside && name === key) return `${path}:${index + 1}:${line.indexOf(key) + 1}`
  }
  return path
}

const isRawSetting = (value: unknown): value is RawSetting =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean'

type File = { readonly path: string; readonly text: string }
type Table = <V>(key: string, parse: (raw: RawSetting) => V) => V | undefined
type Entry = { readonly raw: RawSetting; readonly where: string }

/** Turns a parser's complaint into a refusal that names where the value was given. */
export const withPlace = <T>(where: string, run: () => T): T => {
  try {
    return run()
  } catch (error) {
    if (error instanceof SettingProblem) throw new ConfigError(where, error.message)
    throw error
  }
}

const readTables = <T>(
  file: File,
  name: string,
  keys: readonly string[],
  value: unknown,
  read: (table: Table, where: string) => T,
): T[] => {
  if (value === undefined) return []
  if (!Array.isArray(value)) throw new ConfigError(placeOf(file.path, file.text, name), `write it as [[${name}]]`)
  if (value.length > MAX_TABLES) throw new ConfigError(file.path, `more than ${MAX_TABLES} [[${name}]] tables`)
  return (value as unknown[]).map((table, index) => {
    const where = `${file.path}: [[${name}]] number ${index + 1}`
    if (typeof table !== 'object' || table === null) throw new ConfigError(where, `write it as [[${name}]]`)
    const unknownKey = Object.keys(table).find((key) => !keys.includes(key))
    if (unknownKey !== undefined) {
      throw new ConfigError(
        placeOf(file.path, file.text, unknownKey, name, index),
        `unknown key ${unknownKey} in [[${name}]]`,
      )
    }
    return read((key, parseSetting) => {
      const raw = (table as Record<string, unknown>)[key]
      if (raw === undefined) return undefined
      const place = `${placeOf(file.path, file.text, key, name, index)}: ${key}`
      if (!isRawSetting(raw)) throw new ConfigError(place, 'expected a string')
      return withPlace(place, () => parseSetting(raw))
    }, where)
  })
}

/**
 * `[[socket]]` with an api_key_id is a bound socket; the one without is the option `socket`, written as a
 * table.
 */
const readSockets = (
  file: File,
  baseDir: string,
  value: unknown,
): { main: Entry | undefined; bound: BoundSocket[] } => {
  const tables = readTables(file, 'socket', ['path', 'api_key_id'], value, (table, where) => {
    const path = table('path', (raw) => parseSocketPath(raw, baseDir))
    if (path === undefined) throw new ConfigError(where, 'lacks path')
    return { path, apiKeyId: table('api_key_id', (raw) => parseKeyIdSetting(raw, baseDir)), where }
  })
  const [main, second] = tables.filter(({ apiKeyId }) => apiKeyId === undefined)
  if (second !== undefined)
    throw new ConfigError(second.where, 'lacks api_key_id (one socket may be without, this is the second)')
  const bound = tables.flatMap(({ path, apiKeyId }) => (apiKeyId === undefined ? [] : [{ path, apiKeyId }]))
  return { main: main && { raw: main.path, where: main.where }, bound }
}

const readTlsIdentities = (file: File, baseDir: string, value: unknown): TlsIdentity[] =>
  readTables(file, 'tls_identity', ['identity', 'api_key_id'], value, (table, where) => {
    const identity = table('identity', (raw) => parseIdentity(raw, baseDir))
    const apiKeyId = table('api_key_id', (raw) => parseKeyIdSetting(raw, baseDir))
    if (identity === undefined || apiKeyId === undefined) {
      throw new ConfigError(where, `lacks ${identity === undefined ? 'identity' : 'api_key_id'}`)
    }
    return { identity, apiKeyId }
  })

const readChains = (file: File, baseDir: string, value: unknown): ReadChain[] => {
  const chains = readTables(file, 'chain', CHAIN_KEYS, value, (table, where) => readChain(table, where, baseDir))
  requireDistinct(chains, file.path)
  return chains
}

const refuseUnknown = (file: File, document: Record<string, unknown>): void => {
  for (const key of Object.keys(document)) {
    if (FLAT_KEYS.has(key) || TABLES.has(key)) continue
    const where = placeOf(file.path, file.text, key)
    if (SECRET_KEYS.has(key)) throw new ConfigError(where, `${key} is a secret: name a file with ${key}_file`)
    throw new ConfigError(where, `unknown ${typeof document[key] === 'object' ? 'section' : 'key'} ${key}`)
  }
}

/** Reads and checks the file at `path`. Relative paths inside it are relative to the file. */
export const readTomlFile = (path: string): FileSettings => {
  const file = { path, text: readBounded(path) }
  const baseDir = dirname(path)
  const document = parseDocument(path, file.text)
  refuseUnknown(file, document)
  const socketIsTables = typeof document.socket === 'object'
  const sockets = readSockets(file, baseDir, socketIsTables ? document.socket : undefined)
  const values = new Map<string, Entry>()
  if (sockets.main !== undefined) values.set('socket', sockets.main)
  for (const [key, raw] of Object.entries(document)) {
    if (!FLAT_KEYS.has(key) || (key === 'socket' && socketIsTables)) continue
    const where = `${placeOf(path, file.text, key)}: ${key}`
    if (!isRawSetting(raw)) throw new ConfigError(where, 'expected a string, a whole number, true or false')
    values.set(key, { raw, where })
  }
  const tlsIdentities = readTlsIdentities(file, baseDir, document.tls_identity)
  const chains = readChains(file, baseDir, document.chain)
  const tokens = readTables(file, 'token', TOKEN_KEYS, document.token, readToken)
  const grantingDaemons = readTables(file, 'granting_daemon', GRANTING_DAEMON_KEYS, document.granting_daemon, (table, where) =>
    readGrantingDaemon(table, where, baseDir),
  )
  requireDistinctDaemons(grantingDaemons, path)
  const delegationWebhooks = readTables(
    file, 'delegation_webhook', DELEGATION_WEBHOOK_KEYS, document.delegation_webhook,
    (table, where) => readDelegationWebhook(table, where, baseDir),
  )
  requireKnownDaemons(delegationWebhooks, grantingDaemons, path)
  return { path, baseDir, values, sockets: sockets.bound, tlsIdentities, chains, tokens, grantingDaemons, delegationWebhooks }
}
