/** The decision for requests that sign nothing: reads, wallet administration. */
import type { Call, Caller } from '../domain/call.ts'
import { Failure, failure } from '../domain/failure.ts'
import type { WalletId } from '../domain/ids.ts'
import { decide } from '../policy/decide.ts'
import type { Permission, PermissionGrant } from '../policy/permissions.ts'
import { getApiKey, requireLive } from '../vault/api-keys.ts'
import { requireWalletSecret } from '../vault/wallet-secrets.ts'
import type { Reader } from '../vault/store.ts'
import { requireNotEnded } from '../vault/user-sessions.ts'
import type { GrantCache } from './grant-cache.ts'
import type { RateLimiter } from './rate-limiter.ts'

export type AuthorizeNeeds = { readonly grants: GrantCache; readonly rates: RateLimiter }

/** What a person may do with the wallets they own: whatever wallets can do. Whose a wallet is, is asked elsewhere. */
const OWNER_PERMISSIONS = [
  'wallet:create',
  'wallet:read',
  'wallet:sign',
  'wallet:send',
  'wallet:admin',
  'sign:digest',
  'sign:authorization',
] as const satisfies readonly Permission[]

const OWNER_GRANTS: readonly PermissionGrant[] = OWNER_PERMISSIONS.map((permission) => ({ permission, narrowing: {} }))

/** The caller's grants as they are now. Refuses with API_KEY_INVALID a key that is gone. */
export const grantsOfCaller = (reader: Reader, needs: AuthorizeNeeds, call: Call): readonly PermissionGrant[] => {
  const { caller } = call
  if (caller.kind === 'end_user') return OWNER_GRANTS
  if (caller.kind === 'delegate') return []
  const key = getApiKey(reader, caller.apiKeyId)
  if (key === undefined || key.state !== 'ACTIVE') throw failure('API_KEY_INVALID', {})
  return needs.grants.of(key)
}

/**
 * As `grantsOfCaller`, for a decision that is recorded: refuses with API_KEY_EXPIRED a key whose time is over, too, and as
 * `requireWalletSecret` does what an end user signed with a wallet secret that is gone, or asked for before they signed out.
 */
export const liveGrantsOf = (
  reader: Reader,
  { grants }: Pick<AuthorizeNeeds, 'grants'>,
  caller: Caller,
  nowMs: number,
): readonly PermissionGrant[] => {
  if (caller.kind === 'end_user') {
    const { projectId: project, userId, accessTokenId, walletSecret } = caller
    requireNotEnded(reader, accessTokenId)
    if (walletSecret !== undefined) requireWalletSecret(reader, { project, userId }, walletSecret, nowMs)
    return OWNER_GRANTS
  }
  // What a delegate may sign is its access's to say, and nothing else is theirs to do.
  if (caller.kind === 'delegate') return []
  const key = getApiKey(reader, caller.apiKeyId)
  if (key === undefined) throw failure('API_KEY_INVALID', {})
  return grants.of(requireLive(key, nowMs))
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
    needs.rates.take(`${call.caller.principal} ${counter}`, requestsPerSecond)
  }
}
