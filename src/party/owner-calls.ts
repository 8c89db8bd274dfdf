/** What the daemon's main thread asks of both parties for the owner of a wallet: whose it is, and its key back. */
import type { ExportedParts, ExportOrder } from './export-initiator.ts'
import type { JoinedParties } from './open-parties.ts'
import type { SecretOrder, WalletClaim } from './owner-desk.ts'
import { translated } from './party-failure.ts'
import type { WalletGates } from './wallet-gates.ts'

const CALL = { timeoutMs: 10_000 } as const

export class OwnerCalls {
  readonly #joined: () => Promise<JoinedParties>
  readonly #gates: WalletGates

  constructor(joined: () => Promise<JoinedParties>, gates: WalletGates) {
    this.#joined = joined
    this.#gates = gates
  }

  /** The cosigner's own note of whose a wallet is, while that wallet is being made. Refuses: WALLET_SECRET_REFUSED. */
  async claimWallet(claim: WalletClaim): Promise<void> {
    const { cosigner } = await this.#joined()
    await translated(cosigner.call('claimWallet', claim, CALL))
  }

  /** A change of the cosigner's register of wallet secrets, signed by the user. Refuses: WALLET_SECRET_REFUSED. */
  async changeSecret(order: SecretOrder): Promise<void> {
    const { cosigner } = await this.#joined()
    await translated(cosigner.call('changeSecret', order, CALL))
  }

  /**
   * Both shares of a wallet, each sealed by its own party. A refresh waits until it is done. Refuses: EXPORT_REFUSED,
   * COSIGNER_UNAVAILABLE, COSIGNER_REFUSED, LINK_BURNED, LINK_SUSPENDED, DEADLINE_EXCEEDED.
   */
  async exportShares(order: ExportOrder, signal: AbortSignal): Promise<ExportedParts> {
    const { walletId } = order
    await this.#gates.pass(walletId, signal)
    const { signer, shardOf } = await this.#joined()
    const call = { shard: shardOf(walletId), order }
    return this.#gates.during(walletId, () => translated(signer.call('export', call, CALL)))
  }

  /** Which party the cosigner is, 32 bytes: what its owners sign for. */
  async cosignerId(): Promise<Uint8Array> {
    return (await this.#joined()).cosignerId
  }
}
