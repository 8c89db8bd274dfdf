import { randomBytes } from 'node:crypto'
import { failure } from '../domain/failure.ts'
import type { RequestId } from '../domain/ids.ts'
import { REQUEST_LIFE_MS } from './intents.ts'
import { decryptBound, encryptBound } from './sealed-record.ts'
import type { Reader, Tx } from './store.ts'
import { encodeTagged } from './tagged-encoding.ts'

/**
 * Idempotency: one (caller, method, request id) is one request for a day, across restarts. Waiting for a request
 * that is running in this process is the edge's work; the vault only says which case it is.
 */
export type RequestKey = { readonly caller: string; readonly method: string; readonly requestId: RequestId }

export type Claim =
  /** The caller runs it and then calls `finishRequest` or `abandonRequest`. */
  | { readonly kind: 'claimed' }
  /** As `claimed`, but an earlier run was cut off by the end of the process: its effects may exist. */
  | { readonly kind: 'reclaimed' }
  | { readonly kind: 'running' }
  | { readonly kind: 'done'; readonly response: Uint8Array }

type Row = { body_hash: Buffer; state: string; response: Buffer | null; create_ms: bigint }

const KEY = 'caller = ? AND method = ? AND request_id = ?'

/** Refuses with IDEMPOTENCY_MISMATCH the same id with another body (`bodyHash`, 32 bytes). */
export const claimRequest = (tx: Tx, key: RequestKey, bodyHash: Uint8Array, nowMs: number): Claim => {
  const id = [key.caller, key.method, key.requestId] as const
  const row = tx.one<Row>(`SELECT body_hash, state, response, create_ms FROM requests WHERE ${KEY}`, ...id)
  if (row === undefined || (row.state !== 'RUNNING' && Number(row.create_ms) <= nowMs - REQUEST_LIFE_MS)) {
    tx.run(
      `INSERT OR REPLACE INTO requests (caller, method, request_id, body_hash, state, response, create_ms)
       VALUES (?, ?, ?, ?, 'RUNNING', NULL, ?)`,
      ...id,
      bodyHash,
      nowMs,
    )
    return { kind: 'claimed' }
  }
  if (!row.body_hash.equals(bodyHash)) throw failure('IDEMPOTENCY_MISMATCH', { requestId: key.requestId })
  if (row.state === 'DONE') return { kind: 'done', response: openResponse(tx, key, row.response) }
  if (row.state === 'RUNNING') return { kind: 'running' }
  tx.run(`UPDATE requests SET state = 'RUNNING' WHERE ${KEY}`, ...id)
  return { kind: 'reclaimed' }
}

const NONCE_BYTES = 12

const responseAad = (reader: Reader, { caller, method, requestId }: RequestKey): Uint8Array =>
  encodeTagged('countersign/vault/response/v1', [reader.vaultId, caller, method, requestId])

/** nonce 12 ‖ ciphertext ‖ tag 16, bound to the request it answers. */
const sealResponse = (tx: Tx, key: RequestKey, response: Uint8Array): Uint8Array => {
  const nonce = randomBytes(NONCE_BYTES)
  return Buffer.concat([nonce, encryptBound(tx.keys.response, nonce, responseAad(tx, key), response)])
}

const openResponse = (tx: Tx, key: RequestKey, stored: Uint8Array | null): Uint8Array => {
  const nonce = stored?.subarray(0, NONCE_BYTES) ?? new Uint8Array(0)
  const sealed = stored?.subarray(NONCE_BYTES) ?? new Uint8Array(0)
  const aad = responseAad(tx, key)
  let response: Uint8Array | undefined
  for (const sealing of [tx.keys.response, ...(tx.keys.previousResponses ?? [])]) {
    response ??= decryptBound(sealing, nonce, aad, sealed)
  }
  if (response === undefined) throw failure('VAULT_CORRUPT', { where: 'requests.response' })
  return response
}

/** Keeps the answer for repetitions, sealed: the answer that made an API key holds its secret. */
export const finishRequest = (tx: Tx, key: RequestKey, response: Uint8Array): void => {
  tx.run(
    `UPDATE requests SET state = 'DONE', response = ? WHERE ${KEY}`,
    sealResponse(tx, key, response),
    key.caller,
    key.method,
    key.requestId,
  )
}

/** The request was refused before it had any effect: the same id may be asked again, and is decided anew. */
export const abandonRequest = (tx: Tx, key: RequestKey): void => {
  tx.run(`DELETE FROM requests WHERE ${KEY}`, key.caller, key.method, key.requestId)
}

/** The request ended with effects but without an answer: a repetition runs again, with the same body only. */
export const interruptRequest = (tx: Tx, key: RequestKey): void => {
  tx.run(`UPDATE requests SET state = 'INTERRUPTED' WHERE ${KEY}`, key.caller, key.method, key.requestId)
}

/** At open: what was running is interrupted. Answers how many. */
export const interruptRunningRequests = (tx: Tx): number =>
  tx.run(`UPDATE requests SET state = 'INTERRUPTED' WHERE state = 'RUNNING'`)

/** Forgets requests older than a day, at most `limit`; answers how many. */
export const pruneRequests = (tx: Tx, nowMs: number, limit: number): number =>
  tx.run(
    `DELETE FROM requests WHERE (caller, method, request_id) IN (SELECT caller, method, request_id FROM requests
      WHERE create_ms <= ? AND state <> 'RUNNING' LIMIT ?)`,
    nowMs - REQUEST_LIFE_MS,
    limit,
  )
