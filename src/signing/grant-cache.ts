import { parsePermissionGrants } from '../policy/parse-grants.ts'
import type { PermissionGrant } from '../policy/permissions.ts'
import type { ApiKey } from '../vault/api-keys.ts'
import { type ApiKeyVerifier, parseApiKeyVerifier } from './public-keys.ts'

const MAX_KEYS = 10_000

/** What an API key may do, as it is stored: its grants alone, or with a rate for the key as a whole. */
export type KeyPolicy = {
  readonly grants: readonly PermissionGrant[]
  /** 0: no limit of its own. */
  readonly requestsPerSecond: number
  /** What its JWTs are verified with; undefined for a key that has a secret. */
  readonly verifier: ApiKeyVerifier | undefined
  /** It needs an `x-developer-auth` beside it. */
  readonly needsDeveloperAuth: boolean
}

type Stored = {
  readonly grants: unknown
  readonly requests_per_second: unknown
  readonly public_key: unknown
  readonly developer_auth: unknown
}

const parseKeyPolicy = (stored: unknown): KeyPolicy => {
  if (Array.isArray(stored)) {
    const plain = { requestsPerSecond: 0, verifier: undefined, needsDeveloperAuth: false }
    return { grants: parsePermissionGrants(stored), ...plain }
  }
  const { grants, requests_per_second: rate, public_key: publicKey, developer_auth: developerAuth } = stored as Stored
  return {
    grants: parsePermissionGrants(grants),
    requestsPerSecond: typeof rate === 'number' ? rate : 0,
    verifier: typeof publicKey === 'string' ? parseApiKeyVerifier(publicKey) : undefined,
    needsDeveloperAuth: developerAuth === true,
  }
}

/** The parsed policies of API keys, by key and revision, so that a hot key is parsed once. */
export class GrantCache {
  readonly #parsed = new Map<string, KeyPolicy & { readonly etag: string }>()

  policyOf(key: ApiKey): KeyPolicy {
    const known = this.#parsed.get(key.keyId)
    if (known?.etag === key.etag) return known
    const policy = { ...parseKeyPolicy(key.permissions), etag: key.etag }
    if (this.#parsed.size >= MAX_KEYS) this.#parsed.clear()
    this.#parsed.set(key.keyId, policy)
    return policy
  }

  of(key: ApiKey): readonly PermissionGrant[] {
    return this.policyOf(key).grants
  }
}
