/** Whether what was signed may still go out: a freeze, an archived wallet or an ended grant stops repetitions, too. */
import { isEndUserPrincipal } from '../domain/call.ts'
import { isFailure } from '../domain/failure.ts'
import { liveGrantsOf } from '../signing/authorize.ts'
import { assertSigns, type SignNeeds } from '../signing/sign.ts'
import { requireNotFrozen } from '../vault/freezes.ts'
import { requireActiveGrant } from '../vault/grants.ts'
import type { SentTransaction, SentVersion } from '../vault/sent-transactions.ts'
import { getWallet } from '../vault/wallets.ts'
import { readStoredCaller } from './stored-caller.ts'

/** A version that nobody is known to have taken needs its caller, too: a key that was revoked lets nothing new out. */
export const mayLeave = ({ vault, grants, clock }: SignNeeds, sent: SentTransaction, version: SentVersion): boolean => {
  const { read } = vault
  const wallet = getWallet(read, sent.walletId)
  if (wallet === undefined) return false
  const nowMs = clock.nowMs()
  try {
    assertSigns(wallet)
    requireNotFrozen(read, [
      { scope: 'project', id: sent.project },
      { scope: 'wallet', id: sent.walletId },
      { scope: 'api_key', id: version.principal },
    ])
    if (wallet.ownerType === 'end_user' && !isEndUserPrincipal(version.principal)) requireActiveGrant(read, wallet, nowMs)
    const { caller } = readStoredCaller(version.caller)
    if (sent.state === 'SIGNED' && caller.kind !== 'end_user') liveGrantsOf(read, { grants }, caller, nowMs)
    return true
  } catch (error) {
    if (isFailure(error)) return false
    throw error
  }
}
