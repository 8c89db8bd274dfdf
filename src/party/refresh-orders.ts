/**
 * Refreshes that somebody asked for, on the thread that owns the daemon's vault. Party C's thread decides nothing
 * without one: the transaction that makes the new shares the present ones looks the order up, lets it refuse, and has it
 * write down who asked. An order that is over, or a session whose outcome was answered ABORTED, can commit nothing.
 */
import { failure } from '../domain/failure.ts'
import { isNextOf } from '../engine/dkls23/records.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import type { SealedShare } from '../vault/sealed-record.ts'
import type { Tx } from '../vault/store.ts'
import { activateShare, getShare } from '../vault/wallet-shares.ts'
import { ForkOrders } from './fork-orders.ts'
import { hexOf } from './presignature-map.ts'

export type RefreshOrder = {
  /** Inside the transaction that decides. Refuses by throwing; writes the audit row. */
  readonly record: (tx: Tx, shareEpoch: number) => void
}

export type DecidedShares = {
  readonly sid: Uint8Array
  readonly linkId: Uint8Array
  readonly shares: readonly SealedShare[]
}

type Open = {
  readonly order: RefreshOrder
  readonly aborted: Set<string>
  committing: Promise<void> | undefined
  isCommitted: boolean
}

export class RefreshOrders {
  /** Shares for delegates. */
  readonly forks = new ForkOrders()
  readonly #open = new Map<string, Open>()

  /**
   * Runs `work` with the order in force. Resolves when the shares have changed, also when `work` failed after that;
   * rejects when they have not and cannot any more.
   */
  async during(walletId: Uint8Array, order: RefreshOrder, work: () => Promise<void>): Promise<void> {
    const key = hexOf(walletId)
    const open: Open = { order, aborted: new Set(), committing: undefined, isCommitted: false }
    this.#open.set(key, open)
    try {
      await work()
    } catch (error) {
      await open.committing?.catch(() => undefined)
      if (!open.isCommitted) throw error
    } finally {
      this.#open.delete(key)
    }
  }

  /** The outcome of this session was answered: it cannot be committed. Called inside a transaction. */
  abort(walletId: Uint8Array, sid: Uint8Array): void {
    this.#open.get(hexOf(walletId))?.aborted.add(hexOf(sid))
    this.forks.abort(sid)
  }

  /** The decision: the new shares are the present ones and the old are deleted, all or none. */
  async commit(vault: DaemonVault, decided: DecidedShares, timeMs: number): Promise<void> {
    const opens = decided.shares.flatMap(({ walletId }) => this.#open.get(hexOf(walletId)) ?? [])
    const committing = vault.commit((tx) => {
      for (const share of decided.shares) this.#commitOne(tx, decided, share, timeMs)
    })
    for (const open of opens) open.committing = committing
    await committing
    for (const open of opens) open.isCommitted = true
  }

  #commitOne(tx: Tx, { sid, linkId }: DecidedShares, share: SealedShare, timeMs: number): void {
    const { walletId, wEpoch } = share
    const open = this.#open.get(hexOf(walletId))
    const current = getShare(tx, walletId)
    if (open === undefined || open.aborted.has(hexOf(sid)) || !isNextOf(current, wEpoch)) {
      throw failure('COSIGNER_REFUSED', { why: 'the refresh was given up' })
    }
    activateShare(tx, { share, linkId, state: 'ACTIVE', timeMs })
    open.order.record(tx, wEpoch)
  }
}
