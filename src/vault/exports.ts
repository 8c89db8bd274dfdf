/** When a wallet's private key was last handed over. It tells whoever looks at the wallet; what decides is elsewhere. */
import type { Reader, Tx } from './store.ts'

export const noteExport = (tx: Tx, walletId: Uint8Array, timeMs: number): void => {
  tx.run('INSERT OR REPLACE INTO wallet_exports (wallet_id, export_ms) VALUES (?, ?)', walletId, timeMs)
}

export const exportTimeOf = (reader: Reader, walletId: Uint8Array): number | undefined => {
  const row = reader.one<{ export_ms: bigint }>('SELECT export_ms FROM wallet_exports WHERE wallet_id = ?', walletId)
  return row && Number(row.export_ms)
}
