/** The ids of imports that were taken in. They are kept for good: a client draws a new one for every try. */
import type { Reader, Tx } from './store.ts'

/** The wallet that was made of it, 16 bytes; undefined for an import that was not taken in. */
export const walletOfImport = (reader: Reader, importId: Uint8Array): Uint8Array | undefined =>
  reader.one<{ wallet_id: Buffer }>('SELECT wallet_id FROM used_imports WHERE import_id = ?', importId)?.wallet_id

/** Answers false when it was used before. */
export const useImport = (tx: Tx, importId: Uint8Array, walletId: Uint8Array): boolean =>
  tx.run('INSERT OR IGNORE INTO used_imports (import_id, wallet_id) VALUES (?, ?)', importId, walletId) === 1
