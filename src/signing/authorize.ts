/** The decision for requests that sign nothing: reads, wallet administration. */
import type { Call } from '../domain/call.ts'
import { Failure, failure } from '../domain/failure.ts'
import type { WalletId } from '../domain/ids.ts'
import { decide } from '../policy/decide.ts'
import type { Permission, PermissionGrant } from '../policy/permissions.ts'
import { getApiKey } from '../vault/api-keys.ts'
import type { Reader } from '../vault/store.ts'
import type { GrantCache } from './grant-cache.ts'
import type { RateLimiter } from './rate-limiter.ts'

export type AuthorizeNeeds = { readonly grants: GrantCache; readonly rates: RateLimiter }

/** The caller's grants as they are now. Refuses with API_KEY_INVALID a key that is gone. */
export const grantsOfCaller = (reader: Reader, needs: AuthorizeNeeds, call: Call): readonly PermissionGrant[] => {
  const key = getApiKey(reader, call.caller.apiKeyId)
  if (key === undefined || key.state !== 'ACTIVE') throw failure('API_KEY_INVALID', {})
  return needs.grants.of(key)
}

/** Refuses with PERMISSION_MISSING what the caller's grants do not cover, with RATE_LIMITED what comes too fast. */
export const authorize = (
  reader: Reader,
  needs: AuthorizeNeeds,
  call: Call,
  permission: Permission,
  walletId?: WalletId,
): void => {
  const request = { permissions: [permission], ...(walletId === undefined ? {} : { walletId }) }
  const decision = decide(grantsOfCaller(reader, needs, call), request, () => undefined)
  if (decision.verdict === 'refuse') throw new Failure(decision.reason, decision.facts)
  for (const { counter, requestsPerSecond } of decision.rates) {
    needs.rates.take(`${call.caller.apiKeyId} ${counter}`, requestsPerSecond)
  }
}
