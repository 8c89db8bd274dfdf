/**
 * An answer that is kept for repetitions leaves the daemon once more when it is asked for again. A signature, or a key, is
 * then released under what stands now: behind a freeze, or of a wallet that was archived or suspended since, it stays.
 */
import { isEndUserPrincipal } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import { type RequestId, type WalletId, walletIdFromBytes } from '../domain/ids.ts'
import { exportedByRequest } from '../vault/exports.ts'
import { requireNotFrozen } from '../vault/freezes.ts'
import { requireActiveGrant } from '../vault/grants.ts'
import { findIntent, REQUEST_LIFE_MS } from '../vault/intents.ts'
import type { Reader } from '../vault/store.ts'
import { getWallet } from '../vault/wallets.ts'

export type KeptAnswer = { readonly caller: string; readonly method: string; readonly requestId: RequestId }

type Held = { readonly walletId: WalletId; readonly what: 'signature' | 'key' }

/** What an answer holds that a wallet made or is. */
const heldBy = (reader: Reader, { caller, method, requestId }: KeptAnswer, nowMs: number): Held | undefined => {
  const name = method.split('/').at(-1) ?? ''
  if (name === 'ExportPrivateKey') {
    const walletId = exportedByRequest(reader, { actorId: caller, requestId, sinceMs: nowMs - REQUEST_LIFE_MS })
    return walletId && { walletId, what: 'key' }
  }
  const intent = findIntent(reader, caller, name, requestId, nowMs)
  return intent && { walletId: walletIdFromBytes(intent.walletId), what: 'signature' }
}

/**
 * Refuses with FROZEN, WALLET_ARCHIVED or WALLET_SUSPENDED, or as `requireActiveGrant`, a kept signature that is not to be
 * released any more, and, but for the grant, a kept key. Answers that hold neither are not its matter.
 */
export const requireReleasable = (reader: Reader, kept: KeptAnswer, nowMs: number): void => {
  const held = heldBy(reader, kept, nowMs)
  if (held === undefined) return
  const { walletId, what } = held
  const { caller } = kept
  const wallet = getWallet(reader, walletId)
  if (wallet === undefined) throw failure('WALLET_NOT_FOUND', {})
  requireNotFrozen(reader, [
    { scope: 'project', id: wallet.project },
    { scope: 'wallet', id: walletId },
    { scope: 'api_key', id: caller },
  ])
  // Its owner signs with it by themselves; everybody else under a grant that stands now. No grant hands a key over.
  const isOthers = wallet.ownerType === 'end_user' && !isEndUserPrincipal(caller)
  if (isOthers && what === 'signature') requireActiveGrant(reader, wallet, nowMs)
  if (wallet.state === 'ARCHIVED') throw failure('WALLET_ARCHIVED', { walletId })
  if (wallet.state === 'SUSPENDED') throw failure('WALLET_SUSPENDED', { walletId })
}
