import { failure } from '../domain/failure.ts'
import type { RequestId } from '../domain/ids.ts'
import { walletIdFromBytes } from '../domain/ids.ts'
import { appendAudit } from './audit-chain.ts'
import type { AuditEvent, AuditHead } from './audit-chain.ts'
import { isUniqueViolation, violatedColumns } from './sqlite-errors.ts'
import type { Reader, Tx } from './store.ts'
import { charge } from './usage.ts'
import type { Charge } from './usage.ts'

/**
 * Intents: the durable statement "this digest may now be signed with this presignature" (the protocol, §10.0,
 * TX1), committed before anything derived from the digest leaves the party. An intent counts as signed from then
 * on, whatever comes back. Ids of presignatures and un-randomised nonce points are unique per wallet for the life
 * of the file.
 */
export type IntentState = 'RUNNING' | 'DONE' | 'FAILED' | 'IN_DOUBT'

export type NewIntent = {
  /** 16 bytes. */
  readonly walletId: Uint8Array
  /** 16 bytes. */
  readonly presigId: Uint8Array
  /** The nonce point before re-randomisation, as the engine encodes it; Ed25519: the party's own D, 32 bytes. */
  readonly rPoint: Uint8Array
  /** 32 bytes; Ed25519: the protocol's hash of the message, §18.2. */
  readonly digest: Uint8Array
  /** Who idempotency is scoped to; '' where there is no caller (the cosigner). */
  readonly caller: string
  readonly method: string
  readonly requestId?: RequestId | undefined
  /** Becomes the audit row that the receipt names. */
  readonly event: AuditEvent
  readonly charges?: readonly Charge[] | undefined
}

export type Intent = {
  readonly sequence: bigint
  readonly walletId: Uint8Array
  readonly presigId: Uint8Array
  readonly rPoint: Uint8Array
  readonly digest: Uint8Array
  readonly caller: string
  readonly method: string
  readonly requestId: RequestId | undefined
  readonly state: IntentState
  readonly createMs: number
  readonly completeSequence: bigint | undefined
  readonly signatureHash: Uint8Array | undefined
  readonly r: Uint8Array | undefined
}

/**
 * A presignature, or a nonce point, was about to serve twice for one wallet. Never a caller's doing: the wallet is
 * to be suspended and the operator alerted, before anything else is signed with it.
 */
export class PresignatureReused extends Error {
  readonly walletId: Uint8Array
  readonly which: 'presignature' | 'nonce'

  constructor(walletId: Uint8Array, which: 'presignature' | 'nonce') {
    super(`a ${which} of ${walletIdFromBytes(walletId)} was used before`)
    this.name = 'PresignatureReused'
    this.walletId = walletId
    this.which = which
  }
}

type Row = {
  sequence: bigint
  wallet_id: Buffer
  presig_id: Buffer
  r_point: Buffer
  digest: Buffer
  caller: string
  method: string
  request_id: string
  state: string
  create_ms: bigint
  complete_sequence: bigint | null
  signature_hash: Buffer | null
  r: Buffer | null
}

const toIntent = (row: Row): Intent => ({
  sequence: row.sequence,
  walletId: row.wallet_id,
  presigId: row.presig_id,
  rPoint: row.r_point,
  digest: row.digest,
  caller: row.caller,
  method: row.method,
  requestId: row.request_id === '' ? undefined : (row.request_id as RequestId),
  state: row.state as IntentState,
  createMs: Number(row.create_ms),
  completeSequence: row.complete_sequence ?? undefined,
  signatureHash: row.signature_hash ?? undefined,
  r: row.r ?? undefined,
})

/** How long a request id stands for one request. */
export const REQUEST_LIFE_MS = 86_400_000

const INSERT = `INSERT INTO intents (sequence, wallet_id, presig_id, r_point, digest, caller, method, request_id,
  state, create_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'RUNNING', ?)`

/**
 * Writes the intent, its audit row and its charges, all or nothing. A repeated request (same caller, method and
 * request id within a day) is charged once and only ever for the same digest. Refuses: PresignatureReused;
 * LIMIT_EXCEEDED; IDEMPOTENCY_MISMATCH for another digest under the same request id.
 */
export const beginIntent = (tx: Tx, intent: NewIntent): AuditHead => {
  const repeated = repeats(tx, intent)
  if (!repeated) for (const item of intent.charges ?? []) charge(tx, item)
  const head = appendAudit(tx, intent.event)
  try {
    tx.run(
      INSERT, head.sequence, intent.walletId, intent.presigId, intent.rPoint, intent.digest, intent.caller,
      intent.method, intent.requestId ?? '', intent.event.timeMs,
    )
  } catch (error) {
    if (!isUniqueViolation(error)) throw error
    const which = violatedColumns(error).includes('r_point') ? 'nonce' : 'presignature'
    throw new PresignatureReused(intent.walletId, which)
  }
  return head
}

const repeats = (tx: Tx, intent: NewIntent): boolean => {
  if (intent.requestId === undefined) return false
  const earlier = findIntent(tx, intent.caller, intent.method, intent.requestId, intent.event.timeMs)
  if (earlier === undefined) return false
  if (!Buffer.from(earlier.digest).equals(intent.digest)) {
    throw failure('IDEMPOTENCY_MISMATCH', { requestId: intent.requestId })
  }
  return true
}

/** The newest intent of a request that is less than a day old. */
export const findIntent = (
  reader: Reader,
  caller: string,
  method: string,
  requestId: RequestId,
  nowMs: number,
): Intent | undefined => {
  const row = reader.one<Row>(
    `SELECT * FROM intents WHERE caller = ? AND method = ? AND request_id = ? AND request_id <> ''
       ORDER BY sequence DESC LIMIT 1`,
    caller,
    method,
    requestId,
  )
  // Not in the query: SQLite would plan one with a range anew for every value.
  return row === undefined || row.create_ms <= nowMs - REQUEST_LIFE_MS ? undefined : toIntent(row)
}

export const getIntent = (reader: Reader, sequence: bigint): Intent | undefined => {
  const row = reader.one<Row>('SELECT * FROM intents WHERE sequence = ?', sequence)
  return row === undefined ? undefined : toIntent(row)
}

export type Completion = {
  /** SHA-256 of the signature. */
  readonly signatureHash: Uint8Array
  /** 32 bytes. */
  readonly r: Uint8Array
  readonly event: AuditEvent
}

/**
 * The second commit of a signature (TX2). Answers undefined, and writes nothing, when the intent is not RUNNING.
 */
export const completeIntent = (tx: Tx, sequence: bigint, completion: Completion): AuditHead | undefined =>
  closeIntent(tx, sequence, 'DONE', completion.event, completion)

/** The signature did not come about. The intent still counts as signed and its charge stands. */
export const failIntent = (tx: Tx, sequence: bigint, event: AuditEvent): AuditHead | undefined =>
  closeIntent(tx, sequence, 'FAILED', event, undefined)

/** Nobody can say whether the signature exists: the other party may have made it. */
export const doubtIntent = (tx: Tx, sequence: bigint, event: AuditEvent): AuditHead | undefined =>
  closeIntent(tx, sequence, 'IN_DOUBT', event, undefined)

const CLOSE = `UPDATE intents SET state = ?, complete_sequence = ?, signature_hash = ?, r = ?
  WHERE sequence = ? AND state = 'RUNNING'`

const closeIntent = (
  tx: Tx,
  sequence: bigint,
  state: IntentState,
  event: AuditEvent,
  result: { readonly signatureHash: Uint8Array; readonly r: Uint8Array } | undefined,
): AuditHead | undefined => {
  const running = tx.one('SELECT 1 FROM intents WHERE sequence = ? AND state = ?', sequence, 'RUNNING')
  if (running === undefined) return undefined
  const head = appendAudit(tx, event)
  tx.run(CLOSE, state, head.sequence, result?.signatureHash ?? null, result?.r ?? null, sequence)
  return head
}

/** At open: what was running when the process died is in doubt, one audit row each. Answers how many. */
export const doubtInterruptedIntents = (tx: Tx, nowMs: number): number => {
  const running = tx.all<Row>(`SELECT * FROM intents WHERE state = 'RUNNING' ORDER BY sequence`)
  for (const row of running) {
    doubtIntent(tx, row.sequence, {
      timeMs: nowMs,
      kind: 'sign.in_doubt',
      actor: { kind: tx.kind, id: '' },
      subject: { type: 'wallet', id: walletIdFromBytes(row.wallet_id) },
      method: row.method,
      details: { intent: String(row.sequence), cause: 'the process ended before the result was recorded' },
    })
  }
  return running.length
}

const COUNT_RUNNING = `SELECT count(*) AS count FROM intents WHERE state = 'RUNNING'`

export const countRunningIntents = (reader: Reader): number =>
  Number(reader.one<{ count: bigint }>(COUNT_RUNNING)?.count ?? 0n)
