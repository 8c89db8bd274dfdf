import { rewrapCell, sharePlace } from './sealed-record.ts'
import type { SealedShare } from './sealed-record.ts'
import type { Tx } from './store.ts'
import { listShares } from './wallet-shares.ts'
import type { ShareCursor, StoredShare } from './wallet-shares.ts'

/**
 * After a rotation: wraps the data keys of share records under the newest key of the ring, some rows at a time. Only
 * data keys are opened here, never a share. The record, its version and its leaf in the state index stay as they are.
 */
export type Rewrapped = {
  /** Where to go on; undefined when there are no more. */
  readonly next: ShareCursor | undefined
  readonly rewrapped: number
}

const WRITE = 'UPDATE wallet_shares SET wrapped_key = ? WHERE wallet_id = ? AND slot = ?'

const rewrapOne = (tx: Tx, ring: Uint8Array, share: StoredShare): boolean => {
  const place = sharePlace({ ...(share as SealedShare), vaultId: tx.vaultId })
  const wrappedKey = rewrapCell(ring, place, share)
  if (wrappedKey === undefined) return false
  tx.run(WRITE, wrappedKey, share.walletId, share.slot === 'current' ? 1 : 2)
  return true
}

export const rewrapShares = (tx: Tx, ring: Uint8Array, after: ShareCursor | undefined, limit: number): Rewrapped => {
  const shares = listShares(tx, { after, limit })
  const rewrapped = shares.filter((share) => rewrapOne(tx, ring, share)).length
  const last = shares.at(-1)
  const next = last === undefined || shares.length < limit ? undefined : { walletId: last.walletId, slot: last.slot }
  return { next, rewrapped }
}
