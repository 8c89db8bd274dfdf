import type { Reader, Tx } from './store.ts'

/**
 * The cosigner's memory of answered signature requests (the protocol, §10.2 and §17): for ten minutes a repetition
 * of (wallet, request id) with the same request key gets the same answer; another key is a conflict.
 */
export type ReplyKey = {
  /** 16 bytes. */
  readonly walletId: Uint8Array
  /** 16 bytes. */
  readonly reqId: Uint8Array
  /** TH("sign/req"; …), 32 bytes. */
  readonly requestKey: Uint8Array
}

export type ReplyClaim =
  /** The caller decides and signs, then calls `finishReply` or `failReply`. A try that failed is decided again. */
  | { readonly kind: 'claimed' }
  | { readonly kind: 'running' }
  | { readonly kind: 'conflict' }
  | { readonly kind: 'done'; readonly response: Uint8Array }

export const REPLY_LIFE_MS = 600_000

type Row = { request_key: Buffer; state: string; response: Buffer | null; create_ms: bigint }

const READ = 'SELECT request_key, state, response, create_ms FROM replies WHERE wallet_id = ? AND req_id = ?'
const CLAIM = `INSERT OR REPLACE INTO replies (wallet_id, req_id, request_key, state, response, create_ms)
  VALUES (?, ?, ?, 'RUNNING', NULL, ?)`

export type StoredReply = {
  readonly requestKey: Uint8Array
  readonly state: 'RUNNING' | 'DONE' | 'FAILED'
  readonly response: Uint8Array | undefined
}

/** What is remembered of a request, without claiming it; undefined when it is unknown or over ten minutes old. */
export const findReply = (
  reader: Reader,
  walletId: Uint8Array,
  reqId: Uint8Array,
  nowMs: number,
): StoredReply | undefined => {
  const row = reader.one<Row>(READ, walletId, reqId)
  if (row === undefined) return undefined
  if (row.state !== 'RUNNING' && Number(row.create_ms) <= nowMs - REPLY_LIFE_MS) return undefined
  const state = row.state as StoredReply['state']
  return { requestKey: row.request_key, state, response: row.response ?? undefined }
}

export const claimReply = (tx: Tx, key: ReplyKey, nowMs: number): ReplyClaim => {
  const row = tx.one<Row>(READ, key.walletId, key.reqId)
  const expired = row !== undefined && row.state !== 'RUNNING' && Number(row.create_ms) <= nowMs - REPLY_LIFE_MS
  if (row !== undefined && !expired) {
    if (!row.request_key.equals(key.requestKey)) return { kind: 'conflict' }
    if (row.state === 'DONE') return { kind: 'done', response: row.response ?? new Uint8Array(0) }
    if (row.state === 'RUNNING') return { kind: 'running' }
  }
  tx.run(CLAIM, key.walletId, key.reqId, key.requestKey, nowMs)
  return { kind: 'claimed' }
}

export const finishReply = (tx: Tx, key: ReplyKey, response: Uint8Array): void => {
  tx.run(
    `UPDATE replies SET state = 'DONE', response = ? WHERE wallet_id = ? AND req_id = ?`,
    response,
    key.walletId,
    key.reqId,
  )
}

/** The try ended without a signature. */
export const failReply = (tx: Tx, key: ReplyKey): void => {
  tx.run(`UPDATE replies SET state = 'FAILED' WHERE wallet_id = ? AND req_id = ?`, key.walletId, key.reqId)
}

/** At open: no try of an earlier process is running. */
export const failInterruptedReplies = (tx: Tx): number =>
  tx.run(`UPDATE replies SET state = 'FAILED' WHERE state = 'RUNNING'`)

const OLDEST = 'SELECT create_ms FROM replies ORDER BY create_ms LIMIT 1'

/** Forgets answers older than ten minutes, at most `limit`; answers how many. */
export const pruneReplies = (tx: Tx, nowMs: number, limit: number): number => {
  const oldest = tx.one<{ create_ms: bigint }>(OLDEST)
  // Looked at first: SQLite plans the other statement anew for every value.
  if (oldest === undefined || oldest.create_ms > nowMs - REPLY_LIFE_MS) return 0
  return tx.run(
    `DELETE FROM replies WHERE (wallet_id, req_id) IN
      (SELECT wallet_id, req_id FROM replies WHERE create_ms <= ? AND state <> 'RUNNING' LIMIT ?)`,
    nowMs - REPLY_LIFE_MS,
    limit,
  )
}
