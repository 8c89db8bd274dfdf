/** How far a session key has gone: its nonces, what its caps have used, which requests it has signed. */
import type { RequestId, SessionKeyId } from '../domain/ids.ts'
import { REQUEST_LIFE_MS } from './intents.ts'
import type { Reader, Tx } from './store.ts'

const READ_NONCE = 'SELECT high FROM session_nonces WHERE session_key_id = ?'
const MOVE_NONCE = 'UPDATE session_nonces SET high = ? WHERE session_key_id = ? AND high < ?'
const SET_NONCE = 'INSERT OR REPLACE INTO session_nonces (session_key_id, high) VALUES (?, ?)'
const FIRST_NONCE = 'INSERT OR IGNORE INTO session_nonces (session_key_id, high) VALUES (?, ?)'

/** The highest nonce that was ever given away; undefined before the first. */
export const readNonceMark = (reader: Reader, id: SessionKeyId): bigint | undefined =>
  reader.one<{ high: bigint }>(READ_NONCE, id)?.high

/** Moves the mark up; it goes down only where nonces `wrap` around. */
export const moveNonceMark = (tx: Tx, id: SessionKeyId, high: bigint, wraps: boolean): void => {
  if (wraps) tx.run(SET_NONCE, id, high)
  else if (tx.run(MOVE_NONCE, high, id, high) === 0) tx.run(FIRST_NONCE, id, high)
}

const encodeUint256 = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(64, '0'), 'hex')

/** What a key's orders of one UTC day were worth, scaled by 10^18. */
export const readSessionUsage = (reader: Reader, id: SessionKeyId, day: number): bigint => {
  const row = reader.one<{ notional: Buffer }>(
    'SELECT notional FROM session_usage WHERE session_key_id = ? AND day = ?',
    id,
    day,
  )
  return row === undefined ? 0n : BigInt(`0x${row.notional.toString('hex')}`)
}

export const writeSessionUsage = (tx: Tx, id: SessionKeyId, day: number, notionalE18: bigint): void => {
  tx.run(
    'INSERT OR REPLACE INTO session_usage (session_key_id, day, notional) VALUES (?, ?, ?)',
    id, day, encodeUint256(notionalE18),
  )
}

/** Forgets days before `day`, at most `limit`; answers how many. */
export const pruneSessionUsage = (tx: Tx, day: number, limit: number): number =>
  tx.run(
    `DELETE FROM session_usage WHERE (session_key_id, day) IN
      (SELECT session_key_id, day FROM session_usage WHERE day < ? LIMIT ?)`,
    day,
    limit,
  )

/** What was signed under a request id: a repeat signs the same again, with the same nonce and time. */
export type SessionRequest = {
  readonly sessionKeyId: SessionKeyId
  /** The audit row. */
  readonly sequence: bigint
  /** 32 bytes: family and action as they were sent. */
  readonly actionHash: Uint8Array
  readonly nonce: bigint
  readonly timeMs: number
}

type RequestRow = { session_key_id: string; sequence: bigint; action_hash: Buffer; nonce: bigint; time_ms: bigint }

export const findSessionRequest = (
  reader: Reader,
  caller: string,
  requestId: RequestId,
  nowMs: number,
): SessionRequest | undefined => {
  const row = reader.one<RequestRow>(
    `SELECT session_key_id, sequence, action_hash, nonce, time_ms FROM session_requests
       WHERE caller = ? AND request_id = ?`,
    caller,
    requestId,
  )
  if (row === undefined || Number(row.time_ms) <= nowMs - REQUEST_LIFE_MS) return undefined
  return {
    sessionKeyId: row.session_key_id as SessionKeyId,
    sequence: row.sequence,
    actionHash: row.action_hash,
    nonce: row.nonce,
    timeMs: Number(row.time_ms),
  }
}

export const putSessionRequest = (tx: Tx, caller: string, requestId: RequestId, request: SessionRequest): void => {
  tx.run(
    `INSERT OR REPLACE INTO session_requests (caller, request_id, session_key_id, sequence, action_hash, nonce, time_ms)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
    caller, requestId, request.sessionKeyId, request.sequence, request.actionHash, request.nonce, request.timeMs,
  )
}

/** Forgets requests older than a day, at most `limit`; answers how many. */
export const pruneSessionRequests = (tx: Tx, nowMs: number, limit: number): number =>
  tx.run(
    `DELETE FROM session_requests WHERE (caller, request_id) IN
      (SELECT caller, request_id FROM session_requests WHERE time_ms <= ? LIMIT ?)`,
    nowMs - REQUEST_LIFE_MS,
    limit,
  )

/** How many requests came without the payload that a session key's requests carry. */
export const countWithoutPayload = (reader: Reader, id: SessionKeyId): number =>
  Number(
    reader.one<{ without_payload: bigint }>('SELECT without_payload FROM session_counts WHERE session_key_id = ?', id)
      ?.without_payload ?? 0n,
  )

export const noteWithoutPayload = (tx: Tx, id: SessionKeyId): void => {
  tx.run(
    `INSERT INTO session_counts (session_key_id, without_payload) VALUES (?, 1)
       ON CONFLICT (session_key_id) DO UPDATE SET without_payload = without_payload + 1`,
    id,
  )
}
