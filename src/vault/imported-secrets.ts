import { openCell, rewrapCell, sealCell } from './sealed-record.ts'
import type { CellPlace, SealedCell } from './sealed-record.ts'
import type { Reader, Tx } from './store.ts'
import { encodeTagged } from './tagged-encoding.ts'

/**
 * What delegated access is used with beside its share: its wallet API key; and shares that another system made. Sealed as
 * shares are, by the thread that opens envelopes.
 */
export type ImportedSecretName = 'api-key' | 'foreign-share'
export type ImportedSecretPlace = {
  /** 16 bytes. */
  readonly accessId: Uint8Array
  readonly name: ImportedSecretName
  readonly recordVersion: bigint
}
export type SealedImportedSecret = SealedCell & ImportedSecretPlace

const placeOf = (vaultId: Uint8Array, place: ImportedSecretPlace): CellPlace => ({
  vaultId,
  table: 'imported_secrets',
  rowId: encodeTagged('row', [place.accessId, place.name]),
  column: 'secret',
  schemaVersion: 1,
  recordVersion: place.recordVersion,
})

/** `ring`: the share key, or a ring of them, newest first. The caller wipes `secret`. */
export const sealImportedSecret = (
  ring: Uint8Array,
  vaultId: Uint8Array,
  place: ImportedSecretPlace,
  secret: Uint8Array,
): SealedImportedSecret => ({ ...place, ...sealCell(ring, placeOf(vaultId, place), secret) })

/** The caller wipes the answer. VAULT_CORRUPT for a row that was altered, swapped or is of another vault. */
export const openImportedSecret = (ring: Uint8Array, vaultId: Uint8Array, sealed: SealedImportedSecret): Uint8Array =>
  openCell(ring, placeOf(vaultId, sealed), sealed)

type Row = {
  access_id: Buffer
  name: string
  record_version: bigint
  wrapped_key: Buffer
  nonce: Buffer
  ciphertext: Buffer
}

const toSealed = (row: Row): SealedImportedSecret => ({
  accessId: row.access_id,
  name: row.name as ImportedSecretName,
  recordVersion: row.record_version,
  wrappedKey: row.wrapped_key,
  nonce: row.nonce,
  ciphertext: row.ciphertext,
})

export const getImportedSecret = (
  reader: Reader,
  accessId: Uint8Array,
  name: ImportedSecretName,
): SealedImportedSecret | undefined => {
  const row = reader.one<Row>('SELECT * FROM imported_secrets WHERE access_id = ? AND name = ?', accessId, name)
  return row && toSealed(row)
}

/** In the place of one that is there. */
export const putImportedSecret = (tx: Tx, sealed: SealedImportedSecret): void => {
  tx.run(
    `INSERT OR REPLACE INTO imported_secrets (access_id, name, record_version, wrapped_key, nonce, ciphertext)
     VALUES (?, ?, ?, ?, ?, ?)`,
    sealed.accessId, sealed.name, sealed.recordVersion, sealed.wrappedKey, sealed.nonce, sealed.ciphertext,
  )
}

export const deleteImportedSecrets = (tx: Tx, accessId: Uint8Array): void => {
  tx.run('DELETE FROM imported_secrets WHERE access_id = ?', accessId)
}

export type ImportedSecretCursor = { readonly accessId: Uint8Array; readonly name: string }
export type RewrappedImported = { readonly next: ImportedSecretCursor | undefined; readonly rewrapped: number }

const NEXT = 'SELECT * FROM imported_secrets WHERE (access_id, name) > (?, ?) ORDER BY access_id, name LIMIT ?'

/** After a rotation, as rewrap-shares.ts does with shares: only data keys are opened here. */
export const rewrapImportedSecrets = (
  tx: Tx,
  ring: Uint8Array,
  after: ImportedSecretCursor | undefined,
  limit: number,
): RewrappedImported => {
  const rows = tx.all<Row>(NEXT, after?.accessId ?? new Uint8Array(0), after?.name ?? '', limit)
  let rewrapped = 0
  for (const row of rows) {
    const sealed = toSealed(row)
    const wrappedKey = rewrapCell(ring, placeOf(tx.vaultId, sealed), sealed)
    if (wrappedKey === undefined) continue
    tx.run('UPDATE imported_secrets SET wrapped_key = ? WHERE access_id = ? AND name = ?', wrappedKey, row.access_id, row.name)
    rewrapped += 1
  }
  const last = rows.at(-1)
  return { next: last === undefined || rows.length < limit ? undefined : { accessId: last.access_id, name: last.name }, rewrapped }
}
