/**
 * One parser a kind of setting. Each takes what a flag, a variable or the file said and returns the domain
 * value, or throws a `SettingProblem` whose text says what would be accepted. The refused value itself is
 * repeated only where it cannot be a secret.
 */
import { isAbsolute, resolve } from 'node:path'
import { parseApiKeyId, type ApiKeyId } from '../domain/ids.ts'
import { isHostName, parseNetwork } from '../domain/network-address.ts'
import { COSIGNER_METHODS, LOG_LEVELS, MAIL_SECURITIES, ROOT_KEY_SCHEMES, type ListenAddress, type LogLevel, type RootKeySource } from './config.ts'

export class SettingProblem extends Error {}

/** What a source can hold: flags and variables hold text, TOML also integers and booleans. */
export type RawSetting = string | number | bigint | boolean

export type SettingParser<T> = (raw: RawSetting, baseDir: string) => T

const MAX_PATH_CHARACTERS = 4096
/** sun_path is 108 bytes with its terminating zero on Linux, 104 on macOS. */
const MAX_SOCKET_PATH_BYTES = 103

const requireText = (raw: RawSetting, expected: string): string => {
  if (typeof raw !== 'string') throw new SettingProblem(`expected ${expected} as a string`)
  if (raw.includes('\0')) throw new SettingProblem(`expected ${expected} without a zero byte`)
  return raw
}

export const parsePath: SettingParser<string> = (raw, baseDir) => {
  const text = requireText(raw, 'a path')
  if (text.length === 0 || text.length > MAX_PATH_CHARACTERS) {
    throw new SettingProblem(`expected a path of 1 to ${MAX_PATH_CHARACTERS} characters`)
  }
  return isAbsolute(text) ? text : resolve(baseDir, text)
}

export const parseSocketPath: SettingParser<string> = (raw, baseDir) => {
  const path = parsePath(raw, baseDir)
  const bytes = Buffer.byteLength(path)
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    throw new SettingProblem(
      `a unix socket path has at most ${MAX_SOCKET_PATH_BYTES} bytes, this one ${bytes}: give a shorter --socket`,
    )
  }
  return path
}

const HOST_AND_PORT = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([A-Za-z0-9.-]{1,253})):(\d{1,5})$/

export const parseListenAddress: SettingParser<ListenAddress> = (raw) => {
  const match = HOST_AND_PORT.exec(requireText(raw, 'host:port'))
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || !(port <= 65_535)) {
    throw new SettingProblem('expected host:port or [ipv6]:port with a port from 0 to 65535')
  }
  return { host, port }
}

const MAX_ALLOWED = 256

/** Host names and networks, with commas between them. */
export const parseEgressAllow: SettingParser<readonly string[]> = (raw) => {
  const text = requireText(raw, 'hosts and networks')
  const entries = text.split(',').map((entry) => entry.trim().toLowerCase())
  const bad = entries.find((entry) => !isHostName(entry) && parseNetwork(entry) === undefined)
  if (text.trim() === '' || bad !== undefined)
    throw new SettingProblem('expected host names, addresses and networks such as 10.1.0.0/16, with commas between them')
  if (entries.length > MAX_ALLOWED) throw new SettingProblem(`expected at most ${MAX_ALLOWED} hosts and networks`)
  return entries
}

const listOf = (raw: RawSetting, expected: string): readonly string[] =>
  requireText(raw, expected).split(',').map((entry) => entry.trim())

export const parseCosignerMethods: SettingParser<readonly (typeof COSIGNER_METHODS)[number][]> = (raw) =>
  listOf(raw, 'methods').map((entry) => {
    const method = COSIGNER_METHODS.find((known) => known === entry)
    if (method === undefined) throw new SettingProblem(`expected some of ${COSIGNER_METHODS.join(', ')}, with commas between`)
    return method
  })

export const parseCosignerChains: SettingParser<readonly string[]> = (raw) => {
  const chains = listOf(raw, 'chains')
  const isChain = (entry: string): boolean => entry === 'solana' || /^eip155:(0|[1-9]\d{0,18})$/.test(entry)
  if (chains.length > MAX_ALLOWED || !chains.every(isChain))
    throw new SettingProblem('expected eip155:<chain id> and solana, with commas between')
  return chains
}

/** age's form; whether its checksum is right is seen where keys are. A secret key in its place is not repeated. */
export const parseBackupRecipient: SettingParser<string> = (raw) => {
  const text = requireText(raw, 'an age recipient')
  if (!/^age1[02-9ac-hj-np-z]{58}$/.test(text)) {
    throw new SettingProblem('expected an age X25519 recipient: age1 and 58 more characters')
  }
  return text
}

export const parseRootKeySource: SettingParser<RootKeySource> = (raw, baseDir) => {
  const text = requireText(raw, 'a root key provider')
  const colon = text.indexOf(':')
  const scheme = ROOT_KEY_SCHEMES.find((known) => known === text.slice(0, colon))
  const rest = text.slice(colon + 1)
  if (colon < 0 || scheme === undefined) {
    throw new SettingProblem('expected file:<path>, passphrase: or systemd-cred:<name>')
  }
  if (scheme === 'passphrase') {
    if (rest !== '')
      throw new SettingProblem('passphrase: takes nothing behind the colon; the passphrase is a secret of its own')
    return { scheme, reference: '', uri: 'passphrase:' }
  }
  if (scheme === 'systemd-cred') {
    if (!/^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}$/.test(rest)) {
      throw new SettingProblem('expected systemd-cred:<name> with a plain credential name')
    }
    return { scheme, reference: rest, uri: `systemd-cred:${rest}` }
  }
  const path = parsePath(rest, baseDir)
  return { scheme, reference: path, uri: `file:${path}` }
}

export const parseIntegerWithin =
  (min: number, max: number): SettingParser<number> =>
  (raw) => {
    const text = typeof raw === 'string' ? raw : String(raw)
    const value = typeof raw !== 'boolean' && /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    if (!(value >= min && value <= max)) throw new SettingProblem(`expected a whole number from ${min} to ${max}`)
    return value
  }

export const parseSwitch: SettingParser<boolean> = (raw) => {
  if (raw === true || raw === 'true' || raw === '1') return true
  if (raw === false || raw === 'false' || raw === '0') return false
  throw new SettingProblem('expected true or false')
}

export const parseMailSecurity: SettingParser<(typeof MAIL_SECURITIES)[number]> = (raw) => {
  const security = MAIL_SECURITIES.find((known) => known === raw)
  if (security === undefined) throw new SettingProblem(`expected one of ${MAIL_SECURITIES.join(', ')}`)
  return security
}

export const parseMailText: SettingParser<string> = (raw) => {
  const text = requireText(raw, 'a name')
  if (!/^[^\p{C}]{1,256}$/u.test(text)) throw new SettingProblem('expected 1 to 256 characters, none of them a control')
  return text
}

export const parseMailAddress: SettingParser<string> = (raw) => {
  const text = requireText(raw, 'an e-mail address')
  if (!/^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}$/.test(text)) throw new SettingProblem('expected an e-mail address')
  return text
}

export const parseLogLevel: SettingParser<LogLevel> = (raw) => {
  const level = LOG_LEVELS.find((known) => known === raw)
  if (level === undefined) throw new SettingProblem(`expected one of ${LOG_LEVELS.join(', ')}`)
  return level
}

export const parseKeyIdSetting: SettingParser<ApiKeyId> = (raw) => {
  const keyId = parseApiKeyId(requireText(raw, 'an API key id'))
  if (keyId === undefined)
    throw new SettingProblem('expected an API key id: key_ and 16 hex digits (not the key itself)')
  return keyId
}

export const parseIdentity: SettingParser<string> = (raw) => {
  const text = requireText(raw, 'a SPIFFE URI or a common name')
  const isSpiffe = /^spiffe:\/\/[a-z0-9._-]{1,255}(\/[A-Za-z0-9._-]+)+$/.test(text)
  const isCommonName = /^CN=[^\p{C}]{1,64}$/u.test(text)
  if (text.length > 2048 || !(isSpiffe || isCommonName))
    throw new SettingProblem('expected spiffe://domain/path or CN=name')
  return text
}
