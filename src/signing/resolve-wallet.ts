import type { Caller } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import { isEvmAddress, parseUserId, parseWalletId } from '../domain/ids.ts'
import type { Reader } from '../vault/store.ts'
import {
  findWalletsByAddress,
  findWalletsByUser,
  getWallet,
  type KeyType,
  reaches,
  type Wallet,
  type WalletReach,
} from '../vault/wallets.ts'

const SOLANA_ADDRESS = /^[1-9A-HJ-NP-Za-km-z]{32,44}$/

/** The wallets that exist for a caller: its project's, or to an end user their own. */
export const reachOf = (caller: Caller): WalletReach => {
  // Its one wallet is its access's to name.
  if (caller.kind === 'delegate') throw failure('WALLET_NOT_FOUND', {})
  return caller.kind === 'end_user' ? { project: caller.projectId, owner: caller.userId } : { project: caller.projectId }
}

const matching = (reader: Reader, caller: Caller, text: string): readonly Wallet[] => {
  const reach = reachOf(caller)
  const walletId = parseWalletId(text)
  if (walletId !== undefined) {
    const wallet = getWallet(reader, walletId)
    return wallet === undefined || !reaches(reach, wallet) ? [] : [wallet]
  }
  if (isEvmAddress(text)) return findWalletsByAddress(reader, reach, text)
  const byAddress = SOLANA_ADDRESS.test(text) ? findWalletsByAddress(reader, reach, text) : []
  if (byAddress.length > 0) return byAddress
  const userId = parseUserId(text)
  return userId === undefined ? [] : findWalletsByUser(reader, reach, userId)
}

const choose = (found: readonly Wallet[]): Wallet => {
  const living = found.filter(({ state }) => state !== 'ARCHIVED')
  const candidates = living.length > 0 ? living : found
  const [wallet] = candidates
  if (wallet === undefined) throw failure('WALLET_NOT_FOUND', {})
  if (candidates.length > 1) throw failure('WALLET_AMBIGUOUS', { walletIds: candidates.map(({ walletId }) => walletId) })
  return wallet
}

/**
 * The one wallet within a caller's reach that a reference names: a wallet id, an address (EVM in any letter case, Solana
 * exactly) or a user id.
 * Archived wallets count only when nothing else matches. `keyType` leaves other kinds out of account.
 * Refuses: WALLET_NOT_FOUND (also for another project's, and to an end user for every wallet that is not their own),
 * WALLET_AMBIGUOUS naming the ids.
 */
export const resolveWallet = (reader: Reader, caller: Caller, text: string, keyType?: KeyType): Wallet =>
  choose(matching(reader, caller, text).filter((wallet) => keyType === undefined || wallet.keyType === keyType))

/**
 * As `resolveWallet`, for a request that decides the kind of key by itself: other wallets do not count. Where there is
 * none but others, it is refused with KEY_TYPE_UNSUPPORTED.
 */
export const resolveWalletOfKind = (
  reader: Reader,
  caller: Caller,
  text: string,
  { keyType, operation }: { readonly keyType: KeyType; readonly operation: string },
): Wallet => {
  const found = matching(reader, caller, text)
  const [other] = found
  if (other !== undefined && found.every((wallet) => wallet.keyType !== keyType)) {
    const unsupported = other.keyType === 'ed25519' ? 'KEY_TYPE_ED25519' : 'KEY_TYPE_SECP256K1'
    throw failure('KEY_TYPE_UNSUPPORTED', { keyType: unsupported, operation })
  }
  return choose(found.filter((wallet) => wallet.keyType === keyType))
}
