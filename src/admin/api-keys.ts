import { createHash } from 'node:crypto'
import type { Call } from '../domain/call.ts'
import { failure, invalidField } from '../domain/failure.ts'
import type { ApiKeyId, ProjectId } from '../domain/ids.ts'
import { formatPermissionGrants, parsePermissionGrants } from '../policy/parse-grants.ts'
import {
  type ApiKey,
  createApiKey as createStored,
  listApiKeys as listStored,
  requireApiKey,
  revokeApiKey as revokeStored,
  rotateApiKey as rotateStored,
} from '../vault/api-keys.ts'
import { isHeldTo } from '../policy/permissions.ts'
import type { GrantCache } from '../signing/grant-cache.ts'
import { parseApiKeyVerifier } from '../signing/public-keys.ts'
import { canonicalJson, type JsonValue } from '../vault/canonical-json.ts'
import { type AdminNeeds, recordChange } from './needs.ts'
import { requireProjectId } from './projects.ts'

export type ApiKeyView = {
  readonly apiKeyId: ApiKeyId
  readonly projectId: ProjectId
  readonly name: string
  readonly grants: ReturnType<typeof formatPermissionGrants>
  readonly allowedCidrs: readonly string[]
  readonly requestsPerSecond: number
  readonly expireTimeMs: number | undefined
  readonly createTimeMs: number
  readonly rotateTimeMs: number | undefined
  readonly revokeTimeMs: number | undefined
  readonly state: 'active' | 'expired' | 'revoked'
  /** Base64 of the SPKI; undefined for a key that has a secret. */
  readonly publicKey: string | undefined
  readonly needsDeveloperAuth: boolean
}
/** `secret` is the whole text a caller presents: `csk_…`; empty for a key that has a public key. */
export type ApiKeyWithSecret = { readonly apiKey: ApiKeyView; readonly secret: string }

const view = (grants: GrantCache, key: ApiKey, nowMs: number): ApiKeyView => {
  const policy = grants.policyOf(key)
  const expired = key.expireMs !== undefined && key.expireMs <= nowMs
  const revoked = key.state === 'REVOKED'
  const changed = key.updateMs === key.createMs ? undefined : key.updateMs
  return {
    apiKeyId: key.keyId,
    projectId: key.project,
    name: key.name,
    grants: formatPermissionGrants(policy.grants),
    allowedCidrs: key.allowedCidrs,
    requestsPerSecond: policy.requestsPerSecond,
    expireTimeMs: key.expireMs,
    createTimeMs: key.createMs,
    rotateTimeMs: revoked ? undefined : changed,
    revokeTimeMs: revoked ? key.updateMs : undefined,
    state: revoked ? 'revoked' : expired ? 'expired' : 'active',
    publicKey: policy.verifier && Buffer.from(policy.verifier.spki).toString('base64'),
    needsDeveloperAuth: policy.needsDeveloperAuth,
  }
}

/** A row of the chain holds so much; beyond it stands what the key's own row can be held against. */
const PERMISSIONS_IN_AUDIT_MAX = 32_768

const permissionsForAudit = (permissions: JsonValue): { readonly [name: string]: JsonValue } => {
  const text = canonicalJson(permissions)
  return Buffer.byteLength(text) <= PERMISSIONS_IN_AUDIT_MAX
    ? { permissions }
    : { permissionsSha256: createHash('sha256').update(text).digest('hex') }
}

/** A permission that narrows to another project's wallets, or to none that exist, covers nothing; it is stored as asked. */
export const createApiKey = (
  needs: AdminNeeds,
  call: Call,
  args: {
    readonly projectId: string | undefined
    readonly name: string
    readonly grants: unknown
    readonly allowedCidrs: readonly string[]
    readonly requestsPerSecond: number
    readonly expireTimeMs: number | undefined
    /** Base64 of an SPKI; undefined for a key that is to have a secret. */
    readonly publicKey: string | undefined
    readonly needsDeveloperAuth: boolean
  },
): Promise<ApiKeyWithSecret> => {
  const { vault, clock, grants } = needs
  const project = args.projectId === undefined ? call.caller.projectId : requireProjectId(args.projectId)
  const nowMs = Math.trunc(clock.nowMs())
  if (args.expireTimeMs !== undefined && args.expireTimeMs <= nowMs) {
    throw invalidField('expire_time', 'has passed')
  }
  const parsed = parsePermissionGrants(args.grants)
  const violations = parsed.flatMap((grant, index) =>
    isHeldTo(grant) ? [] : [{ field: `permissions[${index}]`, description: `${grant.permission} cannot be narrowed` }],
  )
  if (violations.length > 0) throw failure('INVALID_REQUEST', { violations })
  const permissions = {
    grants: formatPermissionGrants(parsed),
    requests_per_second: args.requestsPerSecond,
    ...(args.publicKey === undefined ? {} : { public_key: requirePublicKey(args.publicKey) }),
    ...(args.needsDeveloperAuth ? { developer_auth: true } : {}),
  }
  return vault.commit((tx) => {
    const { name, allowedCidrs } = args
    const made = createStored(tx, { project, name, permissions, allowedCidrs, expireMs: args.expireTimeMs, nowMs })
    const { keyId } = made.key
    recordChange(tx, call, {
      timeMs: nowMs,
      kind: 'api_key.created',
      subject: { type: 'api_key', id: keyId },
      project,
      details: { name, ...permissionsForAudit(permissions) },
    })
    // A key that signs has a secret in the vault as well, which nobody is told.
    return { apiKey: view(grants, made.key, nowMs), secret: args.publicKey === undefined ? made.secret.reveal() : '' }
  })
}

const requirePublicKey = (text: string): string => {
  if (parseApiKeyVerifier(text) !== undefined) return text
  const description = 'is not the base64 of an Ed25519 or P-256 public key in SPKI form (DER)'
  throw invalidField('public_key', description)
}

export const getApiKey = (needs: AdminNeeds, args: { readonly apiKeyId: ApiKeyId }): ApiKeyView =>
  view(needs.grants, requireApiKey(needs.vault.read, args.apiKeyId), needs.clock.nowMs())

export const listApiKeys = (
  needs: AdminNeeds,
  call: Call,
  args: { readonly pageSize: number; readonly cursor: string | undefined; readonly projectId: string | undefined },
): { readonly items: readonly ApiKeyView[]; readonly nextCursor: string | undefined } => {
  const project = args.projectId === undefined ? call.caller.projectId : requireProjectId(args.projectId)
  const after = args.cursor === undefined ? undefined : BigInt(args.cursor)
  const found = listStored(needs.vault.read, { project, after, limit: args.pageSize + 1 })
  const items = found.slice(0, args.pageSize)
  return {
    items: items.map((key) => view(needs.grants, key, needs.clock.nowMs())),
    nextCursor: found.length > args.pageSize ? String(items.at(-1)?.number) : undefined,
  }
}

export const rotateApiKey = (
  { vault, clock, grants }: AdminNeeds,
  call: Call,
  args: { readonly apiKeyId: ApiKeyId; readonly overlapMs: number },
): Promise<ApiKeyWithSecret> =>
  vault.commit((tx) => {
    const nowMs = Math.trunc(clock.nowMs())
    const before = requireApiKey(tx, args.apiKeyId)
    if (before.state === 'REVOKED') throw failure('API_KEY_NOT_FOUND', {})
    if (grants.policyOf(before).verifier !== undefined) {
      const description = 'has a public key and no secret; make another API key in its place'
      throw invalidField('api_key_id', description)
    }
    const { key, secret } = rotateStored(tx, args.apiKeyId, { nowMs, overlapMs: args.overlapMs })
    const subject = { type: 'api_key', id: key.keyId }
    const details = { overlapMs: args.overlapMs }
    recordChange(tx, call, { timeMs: nowMs, kind: 'api_key.rotated', subject, project: key.project, details })
    return { apiKey: view(grants, key, nowMs), secret: secret.reveal() }
  })

/**
 * Revoking is a fence: what the key has in flight is not released once this has answered, because the key is gone from
 * the directory that every release looks at, and the fence waits for or stops what was already past that look.
 */
export const revokeApiKey = async (
  { vault, clock, grants, fences }: AdminNeeds,
  call: Call,
  args: { readonly apiKeyId: ApiKeyId },
): Promise<ApiKeyView> => {
  const known = requireApiKey(vault.read, args.apiKeyId)
  return fences.during({ scope: 'api_key', id: known.keyId }, () =>
    vault.commit((tx) => {
      const nowMs = Math.trunc(clock.nowMs())
      const standing = requireApiKey(tx, known.keyId)
      const key = standing.state === 'REVOKED' ? standing : revokeStored(tx, known.keyId, { nowMs })
      const subject = { type: 'api_key', id: key.keyId }
      recordChange(tx, call, { timeMs: nowMs, kind: 'api_key.revoked', subject, project: key.project })
      return view(grants, key, nowMs)
    }),
  )
}
