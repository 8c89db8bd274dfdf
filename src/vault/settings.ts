import { failure } from '../domain/failure.ts'
import type { Reader, Tx } from './store.ts'

/** Named values of the whole vault. */
export type Setting = { readonly value: Uint8Array; readonly etag: string; readonly updateMs: number }

export const getSetting = (reader: Reader, name: string): Setting | undefined => {
  const row = reader.one<{ value: Buffer; revision: bigint; update_ms: bigint }>(
    'SELECT value, revision, update_ms FROM settings WHERE name = ?',
    name,
  )
  return row && { value: row.value, etag: etagOf(row.revision), updateMs: Number(row.update_ms) }
}

/** Refuses with ETAG_MISMATCH when `etag` is given and is not the stored one. */
export const putSetting = (tx: Tx, name: string, value: Uint8Array, nowMs: number, etag?: string): void => {
  const row = tx.one<{ revision: bigint }>('SELECT revision FROM settings WHERE name = ?', name)
  requireEtag(name, row?.revision ?? 0n, etag)
  tx.run(
    'INSERT OR REPLACE INTO settings (name, value, revision, update_ms) VALUES (?, ?, ?, ?)',
    name,
    value,
    (row?.revision ?? 0n) + 1n,
    nowMs,
  )
}

/** An etag is the revision of its row; it says nothing else. */
export const etagOf = (revision: bigint): string => `r${revision}`

export const requireEtag = (resource: string, revision: bigint, etag: string | undefined): void => {
  if (etag !== undefined && etag !== etagOf(revision)) throw failure('ETAG_MISMATCH', { resource })
}
