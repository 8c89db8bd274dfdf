/** Whether the owner of a wallet lets a caller sign with it. Asked on every path, and again where a signature leaves. */
import type { Caller } from '../domain/call.ts'
import { assert, failure } from '../domain/failure.ts'
import type { GrantId } from '../domain/ids.ts'
import { failureOfEnded, getGrant, type Grant, requireActiveGrant, stateAt } from '../vault/grants.ts'
import type { Reader } from '../vault/store.ts'
import type { Wallet } from '../vault/wallets.ts'

/**
 * A project-owned wallet signs for its project on permission alone; one that an end user owns, for that end user, and for
 * the project under the user's grant, which is the answer. Refuses: WALLET_NOT_FOUND (an end user, for a wallet that is not
 * theirs); DELEGATION_NOT_ENABLED, GRANT_REVOKED, GRANT_EXPIRED, GRANT_NOT_AUTHORIZED, GRANT_NOT_FOUND (a project).
 */
export const requireConsent = (reader: Reader, caller: Caller, wallet: Wallet, nowMs: number): Grant | undefined => {
  const { ownerType, userId, project } = wallet
  if (caller.kind === 'end_user') {
    const isTheirs = ownerType === 'end_user' && userId === caller.userId && project === caller.projectId
    if (!isTheirs) throw failure('WALLET_NOT_FOUND', {})
    return undefined
  }
  if (caller.kind === 'delegate') throw failure('WALLET_NOT_FOUND', {})
  return ownerType === 'end_user' ? requireActiveGrant(reader, wallet, nowMs) : undefined
}

/**
 * As `requireConsent`, for what was begun or made under a grant: it ends with that one, whatever was granted since. What
 * was made without one goes on under whichever stands.
 */
export const requireConsentStill = (
  reader: Reader,
  caller: Caller,
  wallet: Wallet,
  nowMs: number,
  begunUnder: GrantId | undefined,
): void => {
  const grant = requireConsent(reader, caller, wallet, nowMs)
  if (begunUnder === undefined || grant?.grantId === begunUnder) return
  const before = getGrant(reader, begunUnder)
  assert(before, 'grants stay when they end')
  // The owner needs none to use what their project made.
  if (grant === undefined && stateAt(before, nowMs) === 'ACTIVE') return
  throw failureOfEnded(before)
}
