/**
 * `[[granting_daemon]]`: a daemon that may delegate to this one, pinned by the id of its identity key.
 * `[[delegation_webhook]]`: whose webhooks POST /webhooks/dynamic takes, known by their secret, for which project, and for
 * which daemon they speak.
 */
import { readFileSync } from 'node:fs'
import { parseProjectId, type ProjectId } from '../domain/ids.ts'
import { Secret } from '../domain/secret.ts'
import type { DelegationWebhookSettings, GrantingDaemonSettings } from './config.ts'
import { ConfigError } from './config-error.ts'
import { isLoopback } from './loopback.ts'
import { parsePath, type RawSetting, SettingProblem } from './parse-setting.ts'

export const GRANTING_DAEMON_KEYS = ['name', 'url', 'party_id', 'ca_file'] as const
export const DELEGATION_WEBHOOK_KEYS = ['secret_file', 'project', 'granting_daemon'] as const

export type ReadWebhook = DelegationWebhookSettings & { readonly secret: Secret<string> }
type Table = <V>(key: string, parse: (raw: RawSetting) => V) => V | undefined

const MAX_SECRET_CHARACTERS = 256
const MIN_SECRET_CHARACTERS = 16

const parseName = (raw: RawSetting): string => {
  if (typeof raw !== 'string' || !/^[a-z0-9][a-z0-9-]{0,31}$/.test(raw))
    throw new SettingProblem('expected a name: lower-case letters, digits and hyphens, at most 32')
  return raw
}

/** Frames show nothing of a share, but the wallet API key goes over this. */
const parseUrl = (raw: RawSetting): string => {
  const url = typeof raw === 'string' && raw.length <= 2_048 && URL.canParse(raw) ? new URL(raw) : undefined
  const isPlace = url !== undefined && url.pathname === '/' && url.search === '' && url.hash === '' && url.username === ''
  if (!isPlace || !/^https?:$/.test(url.protocol))
    throw new SettingProblem('expected the URL of its gRPC listener: https://host:port')
  if (url.protocol === 'http:' && !isLoopback(url.hostname.replace(/^\[|\]$/g, '')))
    throw new SettingProblem('http is for this machine only: expected https://host:port')
  return url.origin
}

const parsePartyId = (raw: RawSetting): string => {
  if (typeof raw !== 'string' || !/^[0-9a-f]{64}$/.test(raw))
    throw new SettingProblem('expected the party id of the daemon: 64 lower-case hexadecimal digits')
  return raw
}

const parseProject = (raw: RawSetting): ProjectId => {
  const project = typeof raw === 'string' ? parseProjectId(raw) : undefined
  if (project === undefined) throw new SettingProblem('expected a project id')
  return project
}

/** Reads one table. Throws ConfigError, SettingProblem. */
export const readGrantingDaemon = (table: Table, where: string, baseDir: string): GrantingDaemonSettings => {
  const name = table('name', parseName)
  const url = table('url', parseUrl)
  const partyId = table('party_id', parsePartyId)
  const authorityFile = table('ca_file', (raw) => parsePath(raw, baseDir))
  if (name === undefined || url === undefined || partyId === undefined)
    throw new ConfigError(where, 'has name, url and party_id')
  if (authorityFile !== undefined && url.startsWith('http:')) throw new ConfigError(where, 'has a ca_file and no https')
  return { name, url, partyId, authorityFile }
}

/** Refuses a name, or a party, that is there twice. */
export const requireDistinctDaemons = (daemons: readonly GrantingDaemonSettings[], path: string): void => {
  for (const key of ['name', 'partyId'] as const) {
    const values = daemons.map((daemon) => daemon[key])
    const twice = values.find((value, index) => values.indexOf(value) !== index)
    if (twice !== undefined) throw new ConfigError(path, `[[granting_daemon]] ${twice} is there twice`)
  }
}

const readSecretFile = (path: string): Secret<string> => {
  let text: string
  try {
    text = readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw new SettingProblem(`the file cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`)
  }
  if (text.length < MIN_SECRET_CHARACTERS || text.length > MAX_SECRET_CHARACTERS)
    throw new SettingProblem(`expected a secret of ${MIN_SECRET_CHARACTERS} to ${MAX_SECRET_CHARACTERS} characters in the file`)
  return new Secret(text)
}

/** Reads one table. Throws ConfigError, SettingProblem. */
export const readDelegationWebhook = (table: Table, where: string, baseDir: string): ReadWebhook => {
  const secret = table('secret_file', (raw) => readSecretFile(parsePath(raw, baseDir)))
  if (secret === undefined) throw new ConfigError(where, 'lacks secret_file')
  return { secret, project: table('project', parseProject) ?? ('default' as ProjectId), grantingDaemon: table('granting_daemon', parseName) }
}

/** Refuses the name of a daemon that is not there. */
export const requireKnownDaemons = (
  webhooks: readonly DelegationWebhookSettings[],
  daemons: readonly GrantingDaemonSettings[],
  path: string,
): void => {
  for (const { grantingDaemon } of webhooks) {
    if (grantingDaemon === undefined || daemons.some(({ name }) => name === grantingDaemon)) continue
    throw new ConfigError(path, `[[delegation_webhook]] names ${grantingDaemon}, which is no [[granting_daemon]]`)
  }
}
