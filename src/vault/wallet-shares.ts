import { assert } from '../domain/failure.ts'
import { walletIdFromBytes } from '../domain/ids.ts'
import type { SealedShare } from './sealed-record.ts'
import { noteRefresh } from './refreshes.ts'
import { moveStateIndex, shareLeaf } from './state-index.ts'
import type { Leaf } from './state-index.ts'
import type { Reader, SqlParam, Tx } from './store.ts'

/**
 * Sealed wallet records of one party (the protocol, §6.3). This table only carries ciphertext: records are sealed
 * and opened by the thread that holds shares (sealed-record.ts). A wallet has at most two rows: the current record
 * and, during a two-phase switch, the pending one beside it. Record versions rise for the life of a wallet; every
 * change but `last_used_epoch` moves the state index.
 */
export type ShareState =
  | 'ACTIVE'
  | 'PENDING'
  | 'FORKED'
  | 'IMPORTED'
  | 'SUSPENDED'
  | 'REVOKED'
  | 'EXPORTED'
  | 'QUARANTINED'
  | 'FROZEN'

export type StoredShare = SealedShare & {
  readonly slot: 'current' | 'pending'
  /** 16 bytes. */
  readonly linkId: Uint8Array
  readonly state: ShareState
  /** The last lEpoch whose material the share met; 0 = none. */
  readonly lastUsedEpoch: number
  /** 32 bytes; the operation a pending record belongs to. */
  readonly pendingSid: Uint8Array | undefined
}

type Row = {
  wallet_id: Buffer
  slot: bigint
  link_id: Buffer
  w_epoch: bigint
  state: string
  last_used_epoch: bigint
  pending_sid: Buffer | null
  record_version: bigint
  header: Buffer
  wrapped_key: Buffer
  nonce: Buffer
  ciphertext: Buffer
}

const CURRENT = 1
const PENDING = 2

const toShare = (row: Row): StoredShare => ({
  walletId: row.wallet_id,
  slot: row.slot === 1n ? 'current' : 'pending',
  linkId: row.link_id,
  wEpoch: Number(row.w_epoch),
  state: row.state as ShareState,
  lastUsedEpoch: Number(row.last_used_epoch),
  pendingSid: row.pending_sid ?? undefined,
  recordVersion: row.record_version,
  header: row.header,
  wrappedKey: row.wrapped_key,
  nonce: row.nonce,
  ciphertext: row.ciphertext,
})

const rowsOf = (reader: Reader, walletId: Uint8Array): Row[] =>
  reader.all<Row>('SELECT * FROM wallet_shares WHERE wallet_id = ? ORDER BY slot', walletId)

const leafOf = (reader: Reader, row: Row): Leaf => shareLeaf(reader, { ...toShare(row), slot: Number(row.slot) })

export const getShare = (
  reader: Reader,
  walletId: Uint8Array,
  slot: 'current' | 'pending' = 'current',
): StoredShare | undefined => rowsOf(reader, walletId).map(toShare).find((share) => share.slot === slot)

/** Of its present share, without reading that. */
export const shareStateOf = (reader: Reader, walletId: Uint8Array): ShareState | undefined => {
  const row = reader.one<Pick<Row, 'state'>>('SELECT state FROM wallet_shares WHERE wallet_id = ? AND slot = 1', walletId)
  return row && (row.state as ShareState)
}

export type SharePage = {
  readonly after?: ShareCursor | undefined
  readonly limit: number
  readonly linkId?: Uint8Array | undefined
}
export type ShareCursor = { readonly walletId: Uint8Array; readonly slot: 'current' | 'pending' }

/** Rows in order of wallet id, both slots; of one link when `linkId` is given. */
export const listShares = (
  reader: Reader,
  page: SharePage,
): StoredShare[] => {
  const afterSlot = page.after?.slot === 'pending' ? PENDING : CURRENT
  const after: SqlParam[] = [page.after?.walletId ?? new Uint8Array(0), afterSlot]
  const sql =
    page.linkId === undefined
      ? 'SELECT * FROM wallet_shares WHERE (wallet_id, slot) > (?, ?) ORDER BY wallet_id, slot LIMIT ?'
      : `SELECT * FROM wallet_shares WHERE (wallet_id, slot) > (?, ?) AND link_id = ?
         ORDER BY wallet_id, slot LIMIT ?`
  const rest = page.linkId === undefined ? [page.limit] : [page.linkId, page.limit]
  return reader.all<Row>(sql, ...after, ...rest).map(toShare)
}

/** Whether a wallet's shares are on this link. */
export const hasShares = (reader: Reader, linkId: Uint8Array): boolean =>
  reader.one('SELECT 1 AS found FROM wallet_shares WHERE link_id = ? LIMIT 1', linkId) !== undefined

/** How often the wallet's shares were changed; 0 also where it has none any more. */
export const shareEpochOf = (reader: Reader, walletId: Uint8Array): number => {
  const row = reader.one<Pick<Row, 'w_epoch'>>('SELECT w_epoch FROM wallet_shares WHERE wallet_id = ? AND slot = 1', walletId)
  return Number(row?.w_epoch ?? 0n)
}

/** Operations that a restart found between the two phases; settled by the outcome question (the protocol, §12). */
export const listPendingShares = (reader: Reader): StoredShare[] =>
  reader.all<Row>('SELECT * FROM wallet_shares WHERE slot = 2 ORDER BY wallet_id').map(toShare)

export type ShareEpoch = { readonly walletId: Uint8Array; readonly wEpoch: number }

const toEpoch = (row: Pick<Row, 'wallet_id' | 'w_epoch'>): ShareEpoch => ({
  walletId: row.wallet_id,
  wEpoch: Number(row.w_epoch),
})

/** The wallets whose present record is not their first. */
export const listRefreshedShares = (reader: Reader): ShareEpoch[] =>
  reader
    .all<Pick<Row, 'wallet_id' | 'w_epoch'>>(
      `SELECT wallet_id, w_epoch FROM refreshes JOIN wallet_shares USING (wallet_id) WHERE slot = 1 AND w_epoch > 0
        ORDER BY wallet_id`,
    )
    .map(toEpoch)

/** The epoch of every current share that signs, in order of wallet id. */
export const listShareEpochs = (reader: Reader): ShareEpoch[] =>
  reader
    .all<Pick<Row, 'wallet_id' | 'w_epoch'>>(
      `SELECT wallet_id, w_epoch FROM wallet_shares WHERE slot = 1 AND state = 'ACTIVE' ORDER BY wallet_id`,
    )
    .map(toEpoch)

/** The version to seal the wallet's next record under. */
export const nextRecordVersion = (reader: Reader, walletId: Uint8Array): bigint =>
  (rowsOf(reader, walletId).reduce((max, row) => (row.record_version > max ? row.record_version : max), 0n)) + 1n

const INSERT = `INSERT INTO wallet_shares (wallet_id, slot, link_id, w_epoch, state, last_used_epoch, pending_sid,
  record_version, header, wrapped_key, nonce, ciphertext) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

type NewRow = {
  readonly share: SealedShare
  readonly slot: number
  readonly linkId: Uint8Array
  readonly state: ShareState
  readonly lastUsedEpoch: number
  readonly sid: Uint8Array | null
}

const insertRow = (tx: Tx, row: NewRow): Leaf => {
  const { share, slot, linkId, state } = row
  tx.run(
    INSERT, share.walletId, slot, linkId, share.wEpoch, state, row.lastUsedEpoch, row.sid, share.recordVersion,
    share.header, share.wrappedKey, share.nonce, share.ciphertext,
  )
  return shareLeaf(tx, { ...share, slot, linkId, state })
}

const requireNewer = (tx: Tx, share: SealedShare): void =>
  assert(share.recordVersion >= nextRecordVersion(tx, share.walletId), 'a record version only rises')

const moved = (
  tx: Tx,
  walletId: Uint8Array,
  timeMs: number,
  removed: Leaf[],
  added: Leaf[],
  state: string,
): void =>
  moveStateIndex(tx, {
    timeMs,
    subject: { type: 'wallet', id: walletIdFromBytes(walletId) },
    removed,
    added,
    details: { state },
  })

export type PendingShare = {
  readonly share: SealedShare
  readonly linkId: Uint8Array
  /** 32 bytes. */
  readonly sid: Uint8Array
  readonly timeMs: number
}

/** Stores the record of an operation that is not decided yet, in the place of an earlier undecided one. */
export const savePendingShare = (tx: Tx, pending: PendingShare): void => {
  const { share, linkId, sid, timeMs } = pending
  requireNewer(tx, share)
  const replaced = rowsOf(tx, share.walletId).filter((row) => row.slot === 2n)
  const removed = replaced.map((row) => leafOf(tx, row))
  tx.run('DELETE FROM wallet_shares WHERE wallet_id = ? AND slot = 2', share.walletId)
  const added = insertRow(tx, { share, slot: PENDING, linkId, state: 'PENDING', lastUsedEpoch: 0, sid })
  moved(tx, share.walletId, timeMs, removed, [added], 'PENDING')
}

export type CurrentShare = {
  readonly share: SealedShare
  readonly linkId: Uint8Array
  readonly state: ShareState
  readonly timeMs: number
}

/**
 * Makes `share` the wallet's one record and erases every other: the decision of a two-phase switch, one
 * transaction. Erasure is complete after `DaemonVault.eraseDeleted`.
 */
export const activateShare = (tx: Tx, current: CurrentShare): void => {
  const { share, linkId, state, timeMs } = current
  requireNewer(tx, share)
  const rows = rowsOf(tx, share.walletId)
  const removed = rows.map((row) => leafOf(tx, row))
  const lastUsedEpoch = Math.max(0, ...rows.filter((row) => linkIdEquals(row, linkId)).map(lastUsed))
  tx.run('DELETE FROM wallet_shares WHERE wallet_id = ?', share.walletId)
  const added = insertRow(tx, { share, slot: CURRENT, linkId, state, lastUsedEpoch, sid: null })
  moved(tx, share.walletId, timeMs, removed, [added], state)
  const isRefresh = rows.some((row) => row.slot === 1n && Number(row.w_epoch) < share.wEpoch)
  if (isRefresh) noteRefresh(tx, share.walletId)
}

const linkIdEquals = (row: Row, linkId: Uint8Array): boolean => row.link_id.equals(linkId)
const lastUsed = (row: Row): number => Number(row.last_used_epoch)

/** Erases the undecided record. Answers whether there was one. */
export const dropPendingShare = (tx: Tx, walletId: Uint8Array, timeMs: number): boolean => {
  const pending = rowsOf(tx, walletId).filter((row) => row.slot === 2n)
  if (pending.length === 0) return false
  const removed = pending.map((row) => leafOf(tx, row))
  tx.run('DELETE FROM wallet_shares WHERE wallet_id = ? AND slot = 2', walletId)
  moved(tx, walletId, timeMs, removed, [], 'DROPPED')
  return true
}

/** Sets the outer state of the current record without resealing it. Answers whether there is one. */
export const setShareState = (tx: Tx, walletId: Uint8Array, state: ShareState, timeMs: number): boolean => {
  const current = rowsOf(tx, walletId).find((row) => row.slot === 1n)
  if (current === undefined) return false
  if (current.state === state) return true
  tx.run('UPDATE wallet_shares SET state = ? WHERE wallet_id = ? AND slot = 1', state, walletId)
  moved(tx, walletId, timeMs, [leafOf(tx, current)], [leafOf(tx, { ...current, state })], state)
  return true
}

/** Erases every record of the wallet and with it the only copy of their data keys. */
export const deleteShares = (tx: Tx, walletId: Uint8Array, timeMs: number): boolean => {
  const rows = rowsOf(tx, walletId)
  if (rows.length === 0) return false
  const removed = rows.map((row) => leafOf(tx, row))
  tx.run('DELETE FROM wallet_shares WHERE wallet_id = ?', walletId)
  moved(tx, walletId, timeMs, removed, [], 'DELETED')
  return true
}

/** Raised, never lowered, before the first presign session of a link epoch that uses the wallets. */
export const raiseLastUsedEpoch = (tx: Tx, walletIds: readonly Uint8Array[], lEpoch: number): void => {
  const raise = 'UPDATE wallet_shares SET last_used_epoch = max(last_used_epoch, ?) WHERE wallet_id = ?'
  for (const walletId of walletIds) tx.run(raise, lEpoch, walletId)
}
