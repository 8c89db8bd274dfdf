/** Whether the owner of a wallet lets a caller sign with it. Asked on every path, and again where a signature leaves. */
import type { Caller } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import type { Reader } from '../vault/store.ts'
import type { Wallet } from '../vault/wallets.ts'

/**
 * A project-owned wallet signs for its project on permission alone; one that an end user owns, for that end user. Refuses:
 * GRANT_REQUIRED (a project, for an end user's wallet), WALLET_NOT_FOUND (an end user, for a wallet that is not theirs).
 */
export const requireConsent = (_reader: Reader, caller: Caller, wallet: Wallet, _nowMs: number): void => {
  const { ownerType, userId, project } = wallet
  if (caller.kind === 'end_user') {
    const isTheirs = ownerType === 'end_user' && userId === caller.userId && project === caller.projectId
    if (!isTheirs) throw failure('WALLET_NOT_FOUND', {})
    return
  }
  if (ownerType === 'end_user') throw failure('GRANT_REQUIRED', { userId })
}
