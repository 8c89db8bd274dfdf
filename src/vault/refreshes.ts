import { auditHead } from './audit-chain.ts'
import type { Reader, Tx } from './store.ts'

/**
 * When a wallet's share was last replaced, as a place in the audit chain. What an older backup of one party holds of the
 * wallet no longer fits the other party's share; older backups of both undo the refresh together. Not under the state
 * index: it tells the operator, decides nothing.
 */
export const noteRefresh = (tx: Tx, walletId: Uint8Array): void => {
  tx.run('INSERT OR REPLACE INTO refreshes (wallet_id, sequence) VALUES (?, ?)', walletId, auditHead(tx).sequence)
}

/** Wallets whose share was replaced after this audit row. */
export const countRefreshedSince = (reader: Reader, sequence: bigint): number => {
  const sql = 'SELECT count(*) AS n FROM refreshes WHERE sequence > ?'
  return Number(reader.one<{ n: bigint }>(sql, sequence)?.n ?? 0n)
}

/** Wallets whose share is still the one they had at this audit row, in order of wallet id, at most `limit`. */
export const listUnrefreshedSince = (reader: Reader, sequence: bigint, limit: number): Uint8Array[] =>
  reader
    .all<{ wallet_id: Buffer }>(
      `SELECT wallet_id FROM wallet_shares WHERE slot = 1 AND state = 'ACTIVE' AND wallet_id NOT IN
        (SELECT wallet_id FROM refreshes WHERE sequence > ?) ORDER BY wallet_id LIMIT ?`,
      sequence,
      limit,
    )
    .map((row) => row.wallet_id)

/** How many `listUnrefreshedSince` would list. */
export const countUnrefreshedSince = (reader: Reader, sequence: bigint): number => {
  const sql = `SELECT count(*) AS n FROM wallet_shares WHERE slot = 1 AND state = 'ACTIVE' AND wallet_id NOT IN
    (SELECT wallet_id FROM refreshes WHERE sequence > ?)`
  return Number(reader.one<{ n: bigint }>(sql, sequence)?.n ?? 0n)
}
