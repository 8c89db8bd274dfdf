import { accessIdToBytes } from '../domain/ids.ts'
import { appendAudit } from './audit-chain.ts'
import { changeDelegatedAccess, openAccess } from './delegated-access.ts'
import type { Tx } from './store.ts'
import { deleteShares } from './wallet-shares.ts'

/**
 * Takes out of a copy of the daemon's vault what must not come back: the daemon's halves of delegated wallets. A share
 * that is in no backup is gone when it is erased, so a revocation survives every restore; in the copy all delegated
 * access has ended (docs/protocol.md §13). Answers how many there were.
 */
export const stripDelegatedShares = (tx: Tx, nowMs: number): number => {
  const open = openAccess(tx)
  for (const { accessId, project, walletId } of open) {
    changeDelegatedAccess(tx, accessId, { state: 'REVOKED', reason: 'restore' }, nowMs)
    deleteShares(tx, accessIdToBytes(accessId), nowMs)
    appendAudit(tx, {
      timeMs: nowMs,
      kind: 'delegated_access.revoked',
      project,
      actor: { kind: 'daemon', id: '' },
      subject: { type: 'delegated_access', id: accessId },
      reason: 'restore',
      details: { wallet: walletId },
    })
  }
  return open.length
}
