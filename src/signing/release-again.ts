/**
 * An answer that is kept for repetitions leaves the daemon once more when it is asked for again. A signature is then
 * released under what stands now: behind a freeze, or of a wallet that was archived or suspended since, it stays.
 */
import { isEndUserPrincipal } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import { type RequestId, walletIdFromBytes } from '../domain/ids.ts'
import { requireNotFrozen } from '../vault/freezes.ts'
import { requireActiveGrant } from '../vault/grants.ts'
import { findIntent } from '../vault/intents.ts'
import type { Reader } from '../vault/store.ts'
import { getWallet } from '../vault/wallets.ts'

export type KeptAnswer = { readonly caller: string; readonly method: string; readonly requestId: RequestId }

/**
 * Refuses with FROZEN, WALLET_ARCHIVED or WALLET_SUSPENDED, or as `requireActiveGrant`, a kept signature that is not to be
 * released any more. Answers that hold no signature are not its matter.
 */
export const requireReleasable = (reader: Reader, { caller, method, requestId }: KeptAnswer, nowMs: number): void => {
  const intent = findIntent(reader, caller, method.split('/').at(-1) ?? '', requestId, nowMs)
  if (intent === undefined) return
  const walletId = walletIdFromBytes(intent.walletId)
  const wallet = getWallet(reader, walletId)
  if (wallet === undefined) throw failure('WALLET_NOT_FOUND', {})
  requireNotFrozen(reader, [
    { scope: 'project', id: wallet.project },
    { scope: 'wallet', id: walletId },
    { scope: 'api_key', id: caller },
  ])
  // Its owner signs with it by themselves; everybody else under a grant that stands now.
  if (wallet.ownerType === 'end_user' && !isEndUserPrincipal(caller)) requireActiveGrant(reader, wallet, nowMs)
  if (wallet.state === 'ARCHIVED') throw failure('WALLET_ARCHIVED', { walletId })
  if (wallet.state === 'SUSPENDED') throw failure('WALLET_SUSPENDED', { walletId })
}
