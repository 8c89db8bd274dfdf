import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { failure } from '../domain/failure.ts'
import { openWith, sealWith, TAG_BYTES } from './aead.ts'
import { encodeTagged, u32, u64 } from './tagged-encoding.ts'
import type { Item } from './tagged-encoding.ts'

/**
 * Sealing of secrets at rest. Pure apart from fresh random keys and nonces: no file, no database, so a
 * share-holding worker imports it and the thread that owns the database only ever sees ciphertext.
 *
 * Every cell has its own random 256-bit data key; the data key is wrapped under a key derived from the vault's
 * root. Both layers are AES-256-GCM with a random 96-bit nonce and bind, as additional data, the place of the
 * cell: vault, table, row, column, schema version, record version and the bytes stored in clear beside it. A cell
 * copied to another row, column, table or vault, or put beside another record version, does not open. A *whole
 * row* put back together with its own older record version does open: that is what state-index.ts detects.
 *
 * Deleting a row deletes the only copy of its data key: what an old page or a backup of another file still holds
 * of the ciphertext is then noise.
 */
export type CellPlace = {
  /** 16 bytes. */
  readonly vaultId: Uint8Array
  readonly table: string
  readonly rowId: Uint8Array
  readonly column: string
  /** Layout of the plaintext, u32. */
  readonly schemaVersion: number
  /** Rises with every rewrite of the row, u64. */
  readonly recordVersion: bigint
  /** Bytes kept in clear beside the cell and bound to it. */
  readonly header?: Uint8Array | undefined
}

export type SealedCell = {
  /** nonce 12 ‖ wrapped data key 32 ‖ tag 16. */
  readonly wrappedKey: Uint8Array
  /** 12 bytes. */
  readonly nonce: Uint8Array
  /** The plaintext's length + 16 (tag last). */
  readonly ciphertext: Uint8Array
}

const NONCE_BYTES = 12
const KEY_BYTES = 32
const NOTHING = new Uint8Array(0)

const placeItems = (place: CellPlace): Item[] => [
  place.vaultId,
  place.table,
  place.rowId,
  place.column,
  u32(place.schemaVersion),
  u64(place.recordVersion),
  place.header ?? NOTHING,
]

/**
 * AES-256-GCM; answers ciphertext ‖ tag. `aad` must name the place for good: it is the only protection from a
 * swap.
 */
export const encryptBound = (
  key: Uint8Array | KeyObject,
  nonce: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array => {
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
  cipher.setAAD(aad)
  return sealWith(cipher, plaintext)
}

/** Opens what `encryptBound` made; undefined when anything at all differs. */
export const decryptBound = (
  key: Uint8Array | KeyObject,
  nonce: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined => {
  if (nonce.length !== NONCE_BYTES) return undefined
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(aad)
  return openWith(decipher, sealed)
}

/** One wrapping key, or several of 32 bytes in a row, newest first: the first seals, each opens. */
const keysOf = (ring: Uint8Array): Uint8Array[] =>
  Array.from({ length: ring.length / KEY_BYTES }, (_, at) => ring.subarray(at * KEY_BYTES, (at + 1) * KEY_BYTES))

const wrapDataKey = (ring: Uint8Array, items: Item[], dataKey: Uint8Array): Uint8Array => {
  const nonce = randomBytes(NONCE_BYTES)
  const aad = encodeTagged('countersign/vault/data-key/v1', items)
  return Buffer.concat([nonce, encryptBound(ring.subarray(0, KEY_BYTES), nonce, aad, dataKey)])
}

/** The data key and which key of the ring opened it; the caller wipes it. */
const unwrapDataKey = (
  ring: Uint8Array,
  items: Item[],
  wrapped: Uint8Array,
): { readonly dataKey: Uint8Array; readonly index: number } | undefined => {
  const aad = encodeTagged('countersign/vault/data-key/v1', items)
  for (const [index, key] of keysOf(ring).entries()) {
    const dataKey = decryptBound(key, wrapped.subarray(0, NONCE_BYTES), aad, wrapped.subarray(NONCE_BYTES))
    if (dataKey?.length === KEY_BYTES) return { dataKey, index }
  }
  return undefined
}

/**
 * The cell's data key wrapped under the first key of the ring; undefined when it is already, and for a cell that no
 * key of the ring opens, which stays as damaged as it is.
 */
export const rewrapCell = (ring: Uint8Array, place: CellPlace, cell: SealedCell): Uint8Array | undefined => {
  const items = placeItems(place)
  const found = unwrapDataKey(ring, items, cell.wrappedKey)
  try {
    return found === undefined || found.index === 0 ? undefined : wrapDataKey(ring, items, found.dataKey)
  } finally {
    found?.dataKey.fill(0)
  }
}

/** Seals `plaintext` (left untouched; the caller wipes it) for exactly this place under a fresh data key. */
export const sealCell = (wrapKey: Uint8Array, place: CellPlace, plaintext: Uint8Array): SealedCell => {
  const items = placeItems(place)
  const dataKey = randomBytes(KEY_BYTES)
  try {
    const nonce = randomBytes(NONCE_BYTES)
    const ciphertext = encryptBound(dataKey, nonce, encodeTagged('countersign/vault/cell/v1', items), plaintext)
    return { wrappedKey: wrapDataKey(wrapKey, items, dataKey), nonce, ciphertext }
  } finally {
    dataKey.fill(0)
  }
}

/**
 * Opens a cell at the place it is read from. The caller owns, and wipes, the answer. Refuses with VAULT_CORRUPT
 * when the cell was altered, was sealed for another place or version, or under another key.
 */
export const openCell = (wrapKey: Uint8Array, place: CellPlace, cell: SealedCell): Uint8Array => {
  const items = placeItems(place)
  const dataKey = unwrapDataKey(wrapKey, items, cell.wrappedKey)?.dataKey
  try {
    const aad = encodeTagged('countersign/vault/cell/v1', items)
    const plaintext =
      dataKey !== undefined ? decryptBound(dataKey, cell.nonce, aad, cell.ciphertext) : undefined
    if (plaintext === undefined) throw failure('VAULT_CORRUPT', { where: `${place.table}.${place.column}` })
    return plaintext
  } finally {
    dataKey?.fill(0)
  }
}

/** Where a share record lives: its wallet, its wallet epoch and its record version (wallet-shares.ts). */
export type SharePlace = {
  readonly vaultId: Uint8Array
  /** 16 bytes. */
  readonly walletId: Uint8Array
  readonly wEpoch: number
  /** From `nextRecordVersion`; 1 for the first record of a new wallet. */
  readonly recordVersion: bigint
  /**
   * The plain bytes version..minLinkEpoch of the record (45 B, the protocol, §6.3); stored beside the ciphertext.
   */
  readonly header: Uint8Array
}

export type SealedShare = SealedCell & Omit<SharePlace, 'vaultId'>

const SHARE_RECORD_SCHEMA = 1

export const sharePlace = (place: SharePlace): CellPlace => ({
  vaultId: place.vaultId,
  table: 'wallet_shares',
  rowId: encodeTagged('row', [place.walletId, u32(place.wEpoch)]),
  column: 'record',
  schemaVersion: SHARE_RECORD_SCHEMA,
  recordVersion: place.recordVersion,
  header: place.header,
})

/**
 * Seals an engine wallet record under the share key (`DaemonVault.shareKey`, the newest of a ring); answers the row to
 * store.
 */
export const sealShare = (shareKey: Uint8Array, place: SharePlace, record: Uint8Array): SealedShare => ({
  walletId: place.walletId,
  wEpoch: place.wEpoch,
  recordVersion: place.recordVersion,
  header: place.header,
  ...sealCell(shareKey, sharePlace(place), record),
})

/**
 * Opens a stored share row. VAULT_CORRUPT for a row that was altered, swapped or is of another vault or version.
 */
export const openShare = (shareKey: Uint8Array, vaultId: Uint8Array, share: SealedShare): Uint8Array =>
  openCell(shareKey, sharePlace({ ...share, vaultId }), share)
