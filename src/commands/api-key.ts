import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { create, fromJson, type JsonValue } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import {
  ApiKeySchema,
  ApiKeyStateSchema,
  CreateApiKeyResponseSchema,
  type ApiKey,
} from '../../gen/countersign/v1/admin_pb.ts'
import { PermissionSchema, type Permission } from '../../gen/countersign/v1/common_pb.ts'
import type { Flags } from '../config/load-config.ts'
import { withDaemon } from './daemon-client.ts'
import { listPages } from './list-pages.ts'
import { enumText, jsonArray, jsonText, timeText } from './message-text.ts'
import { formatFacts, formatTable } from './print-table.ts'
import { openSecretFile, type SecretFile } from './secret-file.ts'
import { UsageRefusal, type Terminal } from './terminal.ts'

const DAY_MS = 86_400_000

export type ApiKeySettings = {
  readonly name: string
  readonly projectId: string
  readonly permissions: readonly string[]
  readonly permissionsFile: string | undefined
  readonly wallets: readonly string[]
  readonly chains: readonly string[]
  readonly destinations: readonly string[]
  readonly cidrs: readonly string[]
  readonly requestsPerSecond: number
  readonly expiresInDays: number | undefined
  readonly secretFile: string | undefined
  /** Base64 of an SPKI; undefined for a key that is to have a secret. */
  readonly publicKey: string | undefined
  readonly needsDeveloperAuth: boolean
}

const narrowedText = (permission: Permission): string => {
  const narrowings = [
    ...permission.wallets,
    ...permission.chains,
    ...permission.destinations,
    ...permission.sessionKeys,
    ...permission.maxPerTransaction.map(
      ({ chain, token, amount }) => `≤${amount} of ${token || 'coin'} on ${chain} each`,
    ),
    ...permission.maxPerDay.map(
      ({ chain, token, amount }) => `≤${amount} of ${token || 'coin'} on ${chain} a day`,
    ),
  ]
  return narrowings.length === 0 ? permission.name : `${permission.name} (${narrowings.join(', ')})`
}

const describeApiKey = (key: ApiKey): string =>
  formatFacts([
    ['api_key_id', key.apiKeyId],
    ['name', key.name],
    ['project_id', key.projectId],
    ['state', enumText(ApiKeyStateSchema, key.state)],
    ['permissions', key.permissions.map(narrowedText).join('; ')],
    ['allowed_cidrs', key.allowedCidrs.join(', ')],
    ['public_key', key.publicKey],
    ['developer_auth', key.developerAuthRequired ? 'required' : ''],
    ['requests_per_second', key.requestsPerSecond === 0 ? '' : String(key.requestsPerSecond)],
    ['expire_time', timeText(key.expireTime)],
    ['create_time', timeText(key.createTime)],
    ['rotate_time', timeText(key.rotateTime)],
    ['revoke_time', timeText(key.revokeTime)],
  ])

const readPermissionsFile = (path: string): Permission[] => {
  let parsed: unknown
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw new UsageRefusal(
      `--permissions-file: ${path} ${code === undefined ? 'is not JSON' : `cannot be read (${code})`}`,
    )
  }
  if (!Array.isArray(parsed)) throw new UsageRefusal('--permissions-file: expected a JSON array of permissions')
  try {
    return parsed.map((item) => fromJson(PermissionSchema, item as JsonValue))
  } catch (error) {
    throw new UsageRefusal(`--permissions-file: ${(error as Error).message}`)
  }
}

const permissionsOf = (settings: ApiKeySettings): Permission[] => {
  const { wallets, chains, destinations } = settings
  const named = settings.permissions.map((name) =>
    create(PermissionSchema, {
      name,
      wallets: [...wallets],
      chains: [...chains],
      destinations: [...destinations],
    }),
  )
  const permissions =
    settings.permissionsFile === undefined ? named : [...named, ...readPermissionsFile(settings.permissionsFile)]
  if (permissions.length === 0) throw new UsageRefusal('give at least one --permission or a --permissions-file')
  return permissions
}

const handOver = (
  terminal: Terminal,
  flags: Flags,
  opened: SecretFile | undefined,
  key: ApiKey | undefined,
  secret: string,
): void => {
  if (secret !== '') opened?.write(secret)
  const shown = opened === undefined ? secret : ''
  if (flags.json === true) {
    const answer = create(CreateApiKeyResponseSchema, { secret: shown })
    if (key !== undefined) answer.apiKey = key
    return terminal.print(jsonText(CreateApiKeyResponseSchema, answer))
  }
  if (key !== undefined) terminal.print(describeApiKey(key))
  if (secret === '') return terminal.note('it has no secret: its holder signs a JWT for each request')
  if (opened === undefined) terminal.print(`secret               ${shown}`)
  terminal.note(
    opened === undefined ? 'the secret is shown this once; keep it now' : `the secret is in ${opened.path}`,
  )
}

export const createApiKey = async (settings: ApiKeySettings, flags: Flags, terminal: Terminal): Promise<void> => {
  const permissions = permissionsOf(settings)
  const { expiresInDays, publicKey = '' } = settings
  if (publicKey !== '' && settings.secretFile !== undefined)
    throw new UsageRefusal('--public-key: the key has no secret that --secret-file could hold')
  const expiry =
    expiresInDays === undefined ? {} : { expireTime: timestampFromMs(Date.now() + expiresInDays * DAY_MS) }
  await withDaemon(flags, terminal, async ({ admin }) => {
    using opened = openSecretFile(settings.secretFile)
    const answer = await admin.createApiKey({
      projectId: settings.projectId,
      name: settings.name,
      permissions,
      allowedCidrs: [...settings.cidrs],
      requestsPerSecond: settings.requestsPerSecond,
      requestId: randomUUID(),
      publicKey,
      developerAuthRequired: settings.needsDeveloperAuth,
      ...expiry,
    })
    handOver(terminal, flags, opened, answer.apiKey, answer.secret)
  })
}

export const rotateApiKey = async (
  apiKeyId: string,
  overlapSeconds: number,
  secretFile: string | undefined,
  flags: Flags,
  terminal: Terminal,
): Promise<void> =>
  withDaemon(flags, terminal, async ({ admin }) => {
    using opened = openSecretFile(secretFile)
    const answer = await admin.rotateApiKey({ apiKeyId, overlapSeconds, requestId: randomUUID() })
    handOver(terminal, flags, opened, answer.apiKey, answer.secret)
  })

const printApiKey = (terminal: Terminal, flags: Flags, key: ApiKey | undefined): void => {
  if (key !== undefined) terminal.print(flags.json === true ? jsonText(ApiKeySchema, key) : describeApiKey(key))
}

export const getApiKey = async (apiKeyId: string, flags: Flags, terminal: Terminal): Promise<void> =>
  withDaemon(flags, terminal, async ({ admin }) => {
    printApiKey(terminal, flags, (await admin.getApiKey({ apiKeyId })).apiKey)
  })

export const revokeApiKey = async (apiKeyId: string, flags: Flags, terminal: Terminal): Promise<void> =>
  withDaemon(flags, terminal, async ({ admin }) => {
    printApiKey(terminal, flags, (await admin.revokeApiKey({ apiKeyId, requestId: randomUUID() })).apiKey)
  })

export const listApiKeys = async (
  projectId: string,
  limit: number,
  flags: Flags,
  terminal: Terminal,
): Promise<void> => {
  const keys = await withDaemon(flags, terminal, ({ admin }) =>
    listPages(limit, async (page) => {
      const answer = await admin.listApiKeys({ ...page, projectId })
      return { items: answer.apiKeys, nextPageToken: answer.nextPageToken }
    }),
  )
  if (flags.json === true) return terminal.print(jsonArray(ApiKeySchema, keys))
  const rows = keys.map((key) => [
    key.apiKeyId,
    key.name,
    key.projectId,
    enumText(ApiKeyStateSchema, key.state),
    timeText(key.expireTime),
    key.permissions.map(({ name }) => name).join(','),
  ])
  terminal.print(formatTable(['API KEY', 'NAME', 'PROJECT', 'STATE', 'EXPIRES', 'PERMISSIONS'], rows))
}
