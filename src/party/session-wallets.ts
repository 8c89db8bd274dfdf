/**
 * Wallet records with their shares in clear, for the time of one session: read from a party's store and overwritten.
 * Wallets that stop meanwhile are left out.
 */
import type { PendingWallets } from '../engine/dkls23/dkg.ts'
import { ProtocolFault } from '../engine/dkls23/fault.ts'
import type { PendingImport } from '../engine/dkls23/import.ts'
import type { SlotName } from '../engine/dkls23/presign-plan.ts'
import type { WalletRecord } from '../engine/dkls23/records.ts'
import type { PartyStore } from './party-store.ts'
import { hexOf } from './presignature-map.ts'

/** Wallets that were stopped while something of them was on its way. */
export class StopWatch {
  readonly #running = new Set<Set<string>>()

  stop(walletId: Uint8Array): void {
    for (const stopped of this.#running) stopped.add(hexOf(walletId))
  }

  /** Runs `work` with the set of the wallets that stop until it ends. */
  async during<T>(work: (stopped: ReadonlySet<string>) => Promise<T>): Promise<T> {
    const stopped = new Set<string>()
    this.#running.add(stopped)
    try {
      return await work(stopped)
    } finally {
      this.#running.delete(stopped)
    }
  }
}

/** The records with their shares, by wallet; the caller wipes the shares. A damaged record is left out. */
export const loadWallets = async (
  store: Pick<PartyStore, 'loadWallet'>,
  names: readonly Pick<SlotName, 'walletId'>[],
  loaded: Map<string, WalletRecord>,
  alert: (what: string, detail: string) => void,
): Promise<void> => {
  for (const { walletId } of names) {
    const key = hexOf(walletId)
    if (loaded.has(key)) continue
    try {
      const record = await store.loadWallet(walletId.slice())
      if (record !== undefined) loaded.set(key, record)
    } catch (error) {
      if (!(error instanceof ProtocolFault) || error.consequence !== 'quarantine-wallet') throw error
      alert('quarantine', `wallet ${key}`)
    }
  }
}

export const wipeShares = (records: Iterable<Pick<WalletRecord, 'share'>>): void => {
  for (const { share } of records) share.fill(0)
}

/** The records are durable as PENDING when it resolves; their shares are overwritten whatever comes of it. */
export const savePending = async (
  store: Pick<PartyStore, 'savePending'>,
  pending: PendingWallets | PendingImport,
): Promise<void> => {
  try {
    await store.savePending(pending)
  } finally {
    wipeShares(pending.records)
  }
}
