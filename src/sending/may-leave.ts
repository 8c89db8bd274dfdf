/** Whether what was signed may still go out: a freeze, an archived wallet or an ended grant stops repetitions, too. */
import { isEndUserPrincipal } from '../domain/call.ts'
import { isFailure } from '../domain/failure.ts'
import { liveGrantsOf } from '../signing/authorize.ts'
import { fencesOf } from '../signing/caller-stops.ts'
import type { FenceKey } from '../signing/fences.ts'
import { assertSigns, type SignNeeds } from '../signing/sign.ts'
import { requireNotFrozen } from '../vault/freezes.ts'
import { requireActiveGrant } from '../vault/grants.ts'
import type { SentTransaction, SentVersion } from '../vault/sent-transactions.ts'
import { getWallet } from '../vault/wallets.ts'
import { readStoredCaller } from './stored-caller.ts'

/**
 * The fences that it leaves behind, or undefined where it may not. A version that nobody is known to have taken needs its
 * caller, too: a key that was revoked lets nothing new out.
 */
export const mayLeave = ({ vault, grants, clock }: SignNeeds, sent: SentTransaction, version: SentVersion): readonly FenceKey[] | undefined => {
  const { read } = vault
  const wallet = getWallet(read, sent.walletId)
  if (wallet === undefined) return undefined
  const nowMs = clock.nowMs()
  try {
    assertSigns(wallet)
    requireNotFrozen(read, [
      { scope: 'project', id: sent.project },
      { scope: 'wallet', id: sent.walletId },
      { scope: 'api_key', id: version.principal },
    ])
    const needsGrant = wallet.ownerType === 'end_user' && !isEndUserPrincipal(version.principal)
    const grant = needsGrant ? requireActiveGrant(read, wallet, nowMs) : undefined
    const { caller } = readStoredCaller(version.caller)
    if (sent.state === 'SIGNED' && caller.kind !== 'end_user') liveGrantsOf(read, { grants }, caller, nowMs)
    return fencesOf({ caller }, wallet, grant)
  } catch (error) {
    if (isFailure(error)) return undefined
    throw error
  }
}
