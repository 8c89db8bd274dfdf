/**
 * After both parties are joined and what was undecided is settled: a wallet whose two shares are not of one epoch has one
 * in an older copy of a vault (a backup that a refresh made worthless). It stops at both sides (docs/protocol.md §12) and
 * nothing repairs it, because what would make the epochs equal again is what an attacker with an old copy wants.
 *
 * C decides every epoch, so S cannot be ahead of a C whose vault is no older copy. Where this vault was never put back to
 * one, the claim stops nothing: a cosigner that lies stops wallets for as long as it lies, not for good.
 */
import type { Clock } from '../domain/clock.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { getRestoreState } from '../vault/restore-state.ts'
import { getShare, listRefreshedShares, type ShareEpoch } from '../vault/wallet-shares.ts'
import { hexOf } from './presignature-map.ts'
import { suspendWallet } from './signer-host.ts'

/** What the other party holds: wallets that were refreshed, and those it asked about without an answer. */
export type PeerEpochs = { readonly refreshed: readonly ShareEpoch[]; readonly undecided: readonly Uint8Array[] }

const WHY = 'the shares of the two parties are of different epochs: one vault is an older copy'

/**
 * Stops the wallets whose epochs differ, here; answers them, to be stopped at the other side. `ahead` hears of those that the
 * other side says it has a later epoch of, without reason.
 */
export const stopDivergentWallets = async (
  vault: DaemonVault,
  clock: Clock,
  peer: PeerEpochs,
  ahead: (walletId: Uint8Array) => void = () => undefined,
  /** Whether a link is between these two: shares on links to others are none of the other side's. */
  isOfPair: (linkId: Uint8Array) => boolean = () => true,
): Promise<readonly Uint8Array[]> => {
  const theirs = new Map(peer.refreshed.map(({ walletId, wEpoch }) => [hexOf(walletId), wEpoch]))
  const undecided = new Set(peer.undecided.map(hexOf))
  const named = new Map([...peer.refreshed, ...listRefreshedShares(vault.read)].map((one) => [hexOf(one.walletId), one]))
  const mayBeOlder = getRestoreState(vault.read) !== undefined
  const divergent = [...named.values()].flatMap(({ walletId }) => {
    const key = hexOf(walletId)
    const own = getShare(vault.read, walletId)
    const their = theirs.get(key) ?? 0
    // A wallet that this vault does not know signs nothing anyway.
    if (own === undefined || !isOfPair(own.linkId) || undecided.has(key) || own.wEpoch === their) return []
    if (own.wEpoch > their || mayBeOlder) return [walletId]
    ahead(walletId)
    return []
  })
  if (divergent.length === 0) return []
  const timeMs = Math.trunc(clock.nowMs())
  await vault.commit((tx) => {
    for (const walletId of divergent) {
      if (getShare(tx, walletId)?.state === 'ACTIVE') suspendWallet(tx, walletId, 'QUARANTINED', WHY, timeMs)
    }
  })
  return divergent
}
