/** When a wallet's private key was last handed over. It tells whoever looks at the wallet; what decides is elsewhere. */
import { type RequestId, type WalletId, walletIdFromBytes } from '../domain/ids.ts'
import { findAuditOfRequest } from './audit-chain.ts'
import type { Reader, Tx } from './store.ts'

export const noteExport = (tx: Tx, walletId: Uint8Array, timeMs: number): void => {
  tx.run('INSERT OR REPLACE INTO wallet_exports (wallet_id, export_ms) VALUES (?, ?)', walletId, timeMs)
}

export const exportTimeOf = (reader: Reader, walletId: Uint8Array): number | undefined => {
  const row = reader.one<{ export_ms: bigint }>('SELECT export_ms FROM wallet_exports WHERE wallet_id = ?', walletId)
  return row && Number(row.export_ms)
}

export type ExportRequest = { readonly actorId: string; readonly requestId: RequestId; readonly sinceMs: number }

/** The wallet whose key was handed over for a request not older than `sinceMs`. */
export const exportedByRequest = (reader: Reader, { actorId, requestId, sinceMs }: ExportRequest): WalletId | undefined =>
  reader
    .all<{ wallet_id: Buffer }>('SELECT wallet_id FROM wallet_exports WHERE export_ms >= ?', sinceMs)
    .map((row) => walletIdFromBytes(row.wallet_id))
    .find((subjectId) => findAuditOfRequest(reader, { subjectId, kind: 'wallet.exported', actorId, requestId }) !== undefined)
