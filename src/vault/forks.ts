/**
 * Shares that the cosigner has sealed to delegates, until the daemon has taken the envelope. A row holds ciphertext for
 * the delegate and no secret of anybody here: it is neither under a MAC nor in the state index, and falls with a restore.
 */
import type { Reader, Tx } from './store.ts'

export type Fork = {
  /** Of the new sharing, 16 bytes. */
  readonly walletId: Uint8Array
  readonly sid: Uint8Array
  /** The wallet that was forked. */
  readonly sourceId: Uint8Array
  /** Over which it was made. */
  readonly linkId: Uint8Array
  /** PENDING: the daemon has not said that it stands. */
  readonly state: 'PENDING' | 'DECIDED'
  /** The body of 0x45. */
  readonly message: Uint8Array
}

type Row = { wallet_id: Buffer; sid: Buffer; source_id: Buffer; link_id: Buffer; state: string; message: Buffer }

const toFork = (row: Row): Fork => ({
  walletId: row.wallet_id,
  sid: row.sid,
  sourceId: row.source_id,
  linkId: row.link_id,
  state: row.state as Fork['state'],
  message: row.message,
})

/** What was not taken by then never is. */
const KEPT_MS = 86_400_000

/** PENDING. Forks that nobody has taken for a day go. */
export const insertFork = (tx: Tx, fork: Omit<Fork, 'state'>, timeMs: number): void => {
  tx.run('DELETE FROM forks WHERE create_ms < ?', timeMs - KEPT_MS)
  tx.run(
    `INSERT INTO forks (wallet_id, sid, source_id, link_id, state, message, create_ms) VALUES (?, ?, ?, ?, 'PENDING', ?, ?)`,
    fork.walletId, fork.sid, fork.sourceId, fork.linkId, fork.message, timeMs,
  )
}

export const forkBySid = (reader: Reader, sid: Uint8Array): Fork | undefined => {
  const row = reader.one<Row>('SELECT * FROM forks WHERE sid = ?', sid)
  return row && toFork(row)
}

export const forkByWallet = (reader: Reader, walletId: Uint8Array): Fork | undefined => {
  const row = reader.one<Row>('SELECT * FROM forks WHERE wallet_id = ?', walletId)
  return row && toFork(row)
}

export const listPendingForks = (reader: Reader): Fork[] =>
  reader.all<Row>(`SELECT * FROM forks WHERE state = 'PENDING' ORDER BY wallet_id`).map(toFork)

/** The daemon's record of the new sharing stands. */
export const decideFork = (tx: Tx, walletId: Uint8Array): boolean =>
  tx.run(`UPDATE forks SET state = 'DECIDED' WHERE wallet_id = ? AND state = 'PENDING'`, walletId) === 1

/** It never came to be, or the daemon has its envelope. */
export const deleteFork = (tx: Tx, walletId: Uint8Array): boolean =>
  tx.run('DELETE FROM forks WHERE wallet_id = ?', walletId) === 1
