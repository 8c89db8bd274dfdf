import type { SessionKeyId } from '../domain/ids.ts'
import { openCell, rewrapCell, sealCell } from './sealed-record.ts'
import type { CellPlace, SealedCell } from './sealed-record.ts'
import type { Reader, Tx } from './store.ts'
import { encodeTagged } from './tagged-encoding.ts'

/**
 * Private session keys and secrets that a venue handed back, sealed as shares are: this table carries ciphertext, which
 * only the thread that signs with them opens. One row a name; `key` is the session key itself.
 */
/** `text`: goes into requests as it is; `hmac`: requests are signed with it. */
export type SessionSecretKind = 'secp256k1' | 'ed25519' | 'hmac' | 'text'
export type SessionSecretPlace = {
  readonly sessionKeyId: SessionKeyId
  readonly name: string
  readonly kind: SessionSecretKind
  readonly recordVersion: bigint
}
export type SealedSecret = SealedCell & SessionSecretPlace

export const KEY_SECRET = 'key'

const placeOf = (vaultId: Uint8Array, place: SessionSecretPlace): CellPlace => ({
  vaultId,
  table: 'session_secrets',
  rowId: encodeTagged('row', [place.sessionKeyId, place.name, place.kind]),
  column: 'secret',
  schemaVersion: 1,
  recordVersion: place.recordVersion,
})

/** `ring`: the share key, or a ring of them, newest first. The caller wipes `secret`. */
export const sealSessionSecret = (
  ring: Uint8Array,
  vaultId: Uint8Array,
  place: SessionSecretPlace,
  secret: Uint8Array,
): SealedSecret => ({ ...place, ...sealCell(ring, placeOf(vaultId, place), secret) })

/** The caller wipes the answer. VAULT_CORRUPT for a row that was altered, swapped or is of another vault. */
export const openSessionSecret = (ring: Uint8Array, vaultId: Uint8Array, sealed: SealedSecret): Uint8Array =>
  openCell(ring, placeOf(vaultId, sealed), sealed)

type Row = {
  session_key_id: string
  name: string
  kind: string
  record_version: bigint
  wrapped_key: Buffer
  nonce: Buffer
  ciphertext: Buffer
}

const toSealed = (row: Row): SealedSecret => ({
  sessionKeyId: row.session_key_id as SessionKeyId,
  name: row.name,
  kind: row.kind as SessionSecretKind,
  recordVersion: row.record_version,
  wrappedKey: row.wrapped_key,
  nonce: row.nonce,
  ciphertext: row.ciphertext,
})

const READ = 'SELECT * FROM session_secrets WHERE session_key_id = ? AND name = ?'

export const getSessionSecret = (reader: Reader, id: SessionKeyId, name: string): SealedSecret | undefined => {
  const row = reader.one<Row>(READ, id, name)
  return row && toSealed(row)
}

export const nextSecretVersion = (reader: Reader, id: SessionKeyId, name: string): bigint =>
  (getSessionSecret(reader, id, name)?.recordVersion ?? 0n) + 1n

/** In the place of one that is there. */
export const putSessionSecret = (tx: Tx, sealed: SealedSecret, nowMs: number): void => {
  tx.run(
    `INSERT OR REPLACE INTO session_secrets (session_key_id, name, kind, record_version, wrapped_key, nonce, ciphertext,
       create_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    sealed.sessionKeyId, sealed.name, sealed.kind, sealed.recordVersion, sealed.wrappedKey, sealed.nonce,
    sealed.ciphertext, nowMs,
  )
}

/** The names of the secrets that a key has. */
export const listSecretNames = (reader: Reader, id: SessionKeyId): string[] =>
  reader
    .all<{ name: string }>('SELECT name FROM session_secrets WHERE session_key_id = ? ORDER BY name', id)
    .map(({ name }) => name)

/** A revoked key's secrets: what is sealed under data keys that are gone is noise. */
export const deleteSessionSecrets = (tx: Tx, id: SessionKeyId): void => {
  tx.run('DELETE FROM session_secrets WHERE session_key_id = ?', id)
}

export type SecretCursor = { readonly sessionKeyId: string; readonly name: string }
export type RewrappedSecrets = { readonly next: SecretCursor | undefined; readonly rewrapped: number }

const NEXT = `SELECT * FROM session_secrets WHERE (session_key_id, name) > (?, ?) ORDER BY session_key_id, name LIMIT ?`

/** After a rotation, as rewrap-shares.ts does with shares: only data keys are opened here. */
export const rewrapSessionSecrets = (
  tx: Tx,
  ring: Uint8Array,
  after: SecretCursor | undefined,
  limit: number,
): RewrappedSecrets => {
  const rows = tx.all<Row>(NEXT, after?.sessionKeyId ?? '', after?.name ?? '', limit)
  let rewrapped = 0
  for (const row of rows) {
    const sealed = toSealed(row)
    const wrappedKey = rewrapCell(ring, placeOf(tx.vaultId, sealed), sealed)
    if (wrappedKey === undefined) continue
    tx.run(
      'UPDATE session_secrets SET wrapped_key = ? WHERE session_key_id = ? AND name = ?',
      wrappedKey, row.session_key_id, row.name,
    )
    rewrapped += 1
  }
  const last = rows.at(-1)
  const next = last === undefined || rows.length < limit ? undefined : { sessionKeyId: last.session_key_id, name: last.name }
  return { next, rewrapped }
}
