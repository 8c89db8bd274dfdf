/**
 * Forks that somebody asked for, on the thread that owns the daemon's vault: as refresh-orders.ts, the transaction that
 * takes the new half in looks the order up, lets it refuse, and has it write down whose it is.
 */
import { failure } from '../domain/failure.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import type { SealedShare } from '../vault/sealed-record.ts'
import type { Tx } from '../vault/store.ts'
import { activateShare, getShare } from '../vault/wallet-shares.ts'
import { hexOf } from './presignature-map.ts'

/** What the daemon's half is of. */
export type NewFork = {
  /** Of the new sharing, 16 bytes. */
  readonly walletId: Uint8Array
  /** Between the delegate and this daemon, 16 bytes. */
  readonly linkId: Uint8Array
  readonly publicShares: Uint8Array
}

export type ForkRecord = {
  /** Inside the transaction that decides. Refuses by throwing; writes the rows beside the share. */
  readonly record: (tx: Tx, fork: NewFork) => void
}

export type DecidedForkShare = NewFork & {
  readonly sid: Uint8Array
  readonly sourceId: Uint8Array
  readonly share: SealedShare
}

type Open = { readonly order: ForkRecord; readonly aborted: Set<string> }

export class ForkOrders {
  readonly #open = new Map<string, Open>()

  /** Runs `work` with the order in force; one at a time for a wallet. */
  async during<T>(sourceId: Uint8Array, order: ForkRecord, work: () => Promise<T>): Promise<T> {
    const key = hexOf(sourceId)
    if (this.#open.has(key)) throw failure('OVERLOADED', { retryAfterMs: 1_000 })
    this.#open.set(key, { order, aborted: new Set() })
    try {
      return await work()
    } finally {
      this.#open.delete(key)
    }
  }

  /** The outcome of this session was answered: it cannot be committed. Called inside a transaction. */
  abort(sid: Uint8Array): void {
    for (const { aborted } of this.#open.values()) aborted.add(hexOf(sid))
  }

  /** The decision. */
  async commit(vault: DaemonVault, decided: DecidedForkShare, timeMs: number): Promise<void> {
    const { sid, sourceId, share, linkId, walletId } = decided
    await vault.commit((tx) => {
      const open = this.#open.get(hexOf(sourceId))
      const isNew = getShare(tx, walletId) === undefined
      if (open === undefined || open.aborted.has(hexOf(sid)) || !isNew) {
        throw failure('COSIGNER_REFUSED', { why: 'the delegation was given up' })
      }
      activateShare(tx, { share, linkId, state: 'FORKED', timeMs })
      open.order.record(tx, decided)
    })
  }
}
