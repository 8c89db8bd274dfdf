import { parsePermissionGrants } from '../policy/parse-grants.ts'
import type { PermissionGrant } from '../policy/permissions.ts'
import type { ApiKey } from '../vault/api-keys.ts'

const MAX_KEYS = 10_000

/** What an API key may do, as it is stored: its grants alone, or with a rate for the key as a whole. */
export type KeyPolicy = {
  readonly grants: readonly PermissionGrant[]
  /** 0: no limit of its own. */
  readonly requestsPerSecond: number
}

const parseKeyPolicy = (stored: unknown): KeyPolicy => {
  if (Array.isArray(stored)) return { grants: parsePermissionGrants(stored), requestsPerSecond: 0 }
  const { grants, requests_per_second: rate } = stored as { grants: unknown; requests_per_second: unknown }
  return { grants: parsePermissionGrants(grants), requestsPerSecond: typeof rate === 'number' ? rate : 0 }
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
