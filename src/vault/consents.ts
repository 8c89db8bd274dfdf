/**
 * What allows the cosigner to hand a share over: an owner's signed consent, each good once, or its operator's approval
 * of one key for one wallet, likewise. Both are used up in the transaction that decides.
 */
import { walletIdFromBytes } from '../domain/ids.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import { moveStateIndex, rowLeaf } from './state-index.ts'
import type { Reader, Tx } from './store.ts'
import { u64 } from './tagged-encoding.ts'

export type OperatorApproval = {
  /** 16 random bytes. */
  readonly approvalId: Uint8Array
  readonly walletId: Uint8Array
  /** Of the key that the share may be sealed to. */
  readonly keyDigest: Uint8Array
  readonly expireMs: number
}

type Row = { approval_id: Buffer; wallet_id: Buffer; key_digest: Buffer; expire_ms: bigint; mac: Buffer }

const itemsOf = (row: Omit<Row, 'mac'>) => [row.approval_id, row.wallet_id, row.key_digest, u64(row.expire_ms)]
const leafOf = (reader: Reader, row: Row) => rowLeaf(reader, 'operator_approvals', [row.approval_id, row.mac])

export const addApproval = (tx: Tx, approval: OperatorApproval, timeMs: number): void => {
  const row = {
    approval_id: Buffer.from(approval.approvalId),
    wallet_id: Buffer.from(approval.walletId),
    key_digest: Buffer.from(approval.keyDigest),
    expire_ms: BigInt(approval.expireMs),
  }
  const mac = rowMac(tx, 'operator_approvals', itemsOf(row))
  tx.run(
    'INSERT INTO operator_approvals (approval_id, wallet_id, key_digest, expire_ms, mac) VALUES (?, ?, ?, ?, ?)',
    row.approval_id, row.wallet_id, row.key_digest, row.expire_ms, mac,
  )
  moved(tx, row.wallet_id, { removed: [], added: [leafOf(tx, { ...row, mac })] }, 'GIVEN', timeMs)
}

/** After a restore: which were used since, nobody knows. */
export const dropApprovals = (tx: Tx, timeMs: number): void => {
  for (const { approval_id } of tx.all<Row>('SELECT * FROM operator_approvals')) takeApproval(tx, approval_id, timeMs)
}

/** The approval, which is used up once the transaction stands; the caller refuses by throwing. */
export const takeApproval = (tx: Tx, approvalId: Uint8Array, timeMs: number): OperatorApproval | undefined => {
  const row = tx.one<Row>('SELECT * FROM operator_approvals WHERE approval_id = ?', approvalId)
  if (row === undefined) return undefined
  requireRowMac(tx, 'operator_approvals', itemsOf(row), row.mac)
  tx.run('DELETE FROM operator_approvals WHERE approval_id = ?', approvalId)
  moved(tx, row.wallet_id, { removed: [leafOf(tx, row)], added: [] }, 'USED', timeMs)
  const { approval_id, wallet_id: walletId, key_digest: keyDigest } = row
  return { approvalId: approval_id, walletId, keyDigest, expireMs: Number(row.expire_ms) }
}

type Leaves = { readonly removed: readonly Buffer[]; readonly added: readonly Buffer[] }

const moved = (tx: Tx, walletId: Uint8Array, leaves: Leaves, approval: string, timeMs: number): void =>
  moveStateIndex(tx, {
    timeMs,
    subject: { type: 'wallet', id: walletIdFromBytes(walletId) },
    ...leaves,
    details: { approval },
  })

/**
 * Uses a nonce up, for good once the transaction stands: a clock that is put back brings none back. Answers false when it
 * was used before.
 */
export const spendConsent = (tx: Tx, nonce: Uint8Array, expireMs: number): boolean =>
  tx.run('INSERT OR IGNORE INTO spent_consents (nonce, expire_ms) VALUES (?, ?)', nonce, expireMs) === 1
