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

/** A place in the chain and its time: what was made or refreshed since is behind it. */
export type Since = { readonly auditSequence: bigint; readonly timeMs: number }

const UNREFRESHED = `FROM wallets WHERE state IN ('ACTIVE', 'SUSPENDED') AND create_ms <= ? AND wallet_id NOT IN
  (SELECT wallet_id FROM refreshes WHERE sequence > ?)`

/** The daemon's wallets whose share is still the one they had then, in order of creation, at most `limit`. */
export const listUnrefreshedSince = (reader: Reader, since: Since, limit: number): Uint8Array[] =>
  reader
    .all<{ wallet_id: Buffer }>(
      `SELECT wallet_id ${UNREFRESHED} ORDER BY number LIMIT ?`,
      since.timeMs,
      since.auditSequence,
      limit,
    )
    .map((row) => row.wallet_id)

/** How many `listUnrefreshedSince` would list. */
export const countUnrefreshedSince = (reader: Reader, since: Since): number => {
  const sql = `SELECT count(*) AS n ${UNREFRESHED}`
  return Number(reader.one<{ n: bigint }>(sql, since.timeMs, since.auditSequence)?.n ?? 0n)
}
