import { failure } from '../domain/failure.ts'
import { allOf } from './conditions.ts'
import type { Reader, Tx } from './store.ts'
import type { Webhook } from './webhooks.ts'

/** How far telling an endpoint of an event has come. Every number here is a row of its table. */
export type DeliveryState = 'PENDING' | 'DELIVERED' | 'FAILED'

export type Delivery = {
  readonly eventId: string
  readonly type: string
  readonly eventMs: number
  readonly state: DeliveryState
  /** Over all rounds; what a crash cut off is not among them. */
  readonly attempts: number
  /** How often it was asked for again. */
  readonly round: number
  readonly nextAttemptMs: number
  readonly lastAttemptMs: number | undefined
  /** HTTP status of the last attempt that was answered. */
  readonly lastStatus: number | undefined
  /** Why the last attempt was not answered; empty when it was. */
  readonly lastError: string
  /** The beginning of the last answer. */
  readonly excerpt: string
  /** Pages go on after this. */
  readonly event: bigint
}

type Row = {
  event_id: string
  type: string
  time_ms: bigint
  state: string
  attempts: bigint
  round: bigint
  next_attempt_ms: bigint
  last_attempt_ms: bigint | null
  last_status: bigint | null
  last_error: string
  excerpt: string
  event: bigint
}

const toDelivery = (row: Row): Delivery => ({
  eventId: row.event_id,
  type: row.type,
  eventMs: Number(row.time_ms),
  state: row.state as DeliveryState,
  attempts: Number(row.attempts),
  round: Number(row.round),
  nextAttemptMs: Number(row.next_attempt_ms),
  lastAttemptMs: row.last_attempt_ms === null ? undefined : Number(row.last_attempt_ms),
  lastStatus: row.last_status === null ? undefined : Number(row.last_status),
  lastError: row.last_error,
  excerpt: row.excerpt,
  event: row.event,
})

const COLUMNS = `e.event_id, e.type, e.time_ms, d.state, d.attempts, d.round, d.next_attempt_ms, d.last_attempt_ms,
  d.last_status, d.last_error, d.excerpt, d.event`
const JOINED = `SELECT ${COLUMNS} FROM webhook_deliveries AS d JOIN webhook_events AS e ON e.number = d.event`

export type DeliveryPage = {
  readonly webhook: bigint
  readonly state?: DeliveryState | undefined
  /** An event's number. */
  readonly before?: bigint | undefined
  readonly limit: number
}

const LAST = 2n ** 62n

/** The newest event first. */
export const listDeliveries = (reader: Reader, { webhook, state, before, limit }: DeliveryPage): Delivery[] => {
  const { sql, params } = allOf({ 'd.webhook = ?': webhook, 'd.event < ?': before ?? LAST, 'd.state = ?': state })
  return reader.all<Row>(`${JOINED} WHERE ${sql} ORDER BY d.event DESC LIMIT ?`, ...params, limit).map(toDelivery)
}

const findDelivery = (reader: Reader, webhook: bigint, eventId: string): Delivery | undefined => {
  const row = reader.one<Row>(`${JOINED} WHERE d.webhook = ? AND e.event_id = ?`, webhook, eventId)
  return row && toDelivery(row)
}

/** Sends an event again, now, under the same id, with all its attempts. Refuses with WEBHOOK_DELIVERY_NOT_FOUND. */
export const redeliver = (tx: Tx, webhook: bigint, eventId: string, nowMs: number): Delivery => {
  const found = findDelivery(tx, webhook, eventId)
  if (found === undefined) throw failure('WEBHOOK_DELIVERY_NOT_FOUND', {})
  tx.run(
    `UPDATE webhook_deliveries SET state = 'PENDING', round = round + 1, round_attempts = 0, next_attempt_ms = ?
     WHERE webhook = ? AND event = ?`,
    nowMs, webhook, found.event,
  )
  return findDelivery(tx, webhook, eventId) as Delivery
}

/** A delivery that waits, as the one who makes it needs it. */
export type DueDelivery = {
  readonly number: bigint
  readonly event: bigint
  readonly round: number
  readonly roundAttempts: number
}

const WAITING = `WITH RECURSIVE waiting (webhook) AS (
  SELECT min(webhook) FROM webhook_deliveries WHERE state = 'PENDING'
  UNION ALL
  SELECT (SELECT min(d.webhook) FROM webhook_deliveries AS d WHERE d.state = 'PENDING' AND d.webhook > waiting.webhook)
    FROM waiting WHERE waiting.webhook IS NOT NULL)
  SELECT webhook, (SELECT min(d.next_attempt_ms) FROM webhook_deliveries AS d
    WHERE d.state = 'PENDING' AND d.webhook = waiting.webhook) AS due FROM waiting WHERE webhook IS NOT NULL`

/** Endpoints something waits for, and when its turn is; takes as long as there are endpoints, not deliveries. */
export const listWaiting = (reader: Reader): { readonly webhook: bigint; readonly dueMs: number }[] =>
  reader.all<{ webhook: bigint; due: bigint }>(WAITING).map(({ webhook, due }) => ({ webhook, dueMs: Number(due) }))

const DUE = `SELECT number, event, round, round_attempts FROM webhook_deliveries
  WHERE state = 'PENDING' AND webhook = ? AND next_attempt_ms <= ? ORDER BY next_attempt_ms, number LIMIT ?`

/** What is due at an endpoint, in the order of its turn. */
export const listDue = (reader: Reader, webhook: bigint, nowMs: number, limit: number): DueDelivery[] =>
  reader
    .all<{ number: bigint; event: bigint; round: bigint; round_attempts: bigint }>(DUE, webhook, nowMs, limit)
    .map(({ number, event, round, round_attempts: roundAttempts }) => ({
      number,
      event,
      round: Number(round),
      roundAttempts: Number(roundAttempts),
    }))

export type Attempt = {
  readonly timeMs: number
  readonly status: number | undefined
  readonly error: string
  readonly excerpt: string
  /** Undefined: no more attempts. */
  readonly next: { readonly state: 'PENDING'; readonly atMs: number } | { readonly state: 'DELIVERED' | 'FAILED' }
}

/** Of a delivery that was asked for again meanwhile the attempt is noted, and the new round goes on. */
export const recordAttempt = (tx: Tx, { number, round }: DueDelivery, attempt: Attempt): void => {
  tx.run(
    `UPDATE webhook_deliveries SET attempts = attempts + 1, last_attempt_ms = ?, last_status = ?, last_error = ?,
       excerpt = ? WHERE number = ?`,
    attempt.timeMs, attempt.status ?? null, attempt.error, attempt.excerpt, number,
  )
  tx.run(
    `UPDATE webhook_deliveries SET round_attempts = round_attempts + 1, state = ?, next_attempt_ms = coalesce(?, next_attempt_ms)
     WHERE number = ? AND round = ? AND state = 'PENDING'`,
    attempt.next.state, attempt.next.state === 'PENDING' ? attempt.next.atMs : null, number, round,
  )
}

export type DeliveryBacklog = { readonly pending: number; readonly oldestMs: number | undefined }

/** Of all endpoints, disabled ones included. */
export const deliveryBacklog = (reader: Reader): DeliveryBacklog => {
  const { pending } = reader.one<{ pending: bigint }>(
    `SELECT count(*) AS pending FROM webhook_deliveries WHERE state = 'PENDING'`,
  ) ?? { pending: 0n }
  const oldest = reader.one<{ create_ms: bigint }>(
    `SELECT create_ms FROM webhook_deliveries WHERE state = 'PENDING' ORDER BY number LIMIT 1`,
  )
  return { pending: Number(pending), oldestMs: oldest === undefined ? undefined : Number(oldest.create_ms) }
}

/** Events are kept this long, delivered or not. */
export const EVENT_LIFE_MS = 30 * 86_400_000

const hasDeliveries = (tx: Tx, { number }: Pick<Webhook, 'number'>): boolean =>
  tx.one('SELECT 1 FROM webhook_deliveries WHERE webhook = ? LIMIT 1', number) !== undefined

/** Erases what deleted endpoints left, at most `limit` rows; answers how many. */
const pruneDeleted = (tx: Tx, limit: number): number => {
  const deleted = tx.one<{ number: bigint }>(`SELECT number FROM webhooks WHERE state = 'DELETED' LIMIT 1`)
  if (deleted === undefined) return 0
  const { number } = deleted
  if (!hasDeliveries(tx, { number })) return tx.run('DELETE FROM webhooks WHERE number = ?', number)
  return tx.run(
    'DELETE FROM webhook_deliveries WHERE number IN (SELECT number FROM webhook_deliveries WHERE webhook = ? LIMIT ?)',
    number, limit,
  )
}

/** Erases events that are too old, with their deliveries, and what deleted endpoints left; answers how many rows, about. */
export const pruneWebhooks = (tx: Tx, nowMs: number, limit: number): number => {
  const pruned = pruneDeleted(tx, limit)
  const [from, to] = [nowMs - EVENT_LIFE_MS, limit]
  const old = tx.all<{ number: bigint }>('SELECT number FROM webhook_events WHERE time_ms <= ? LIMIT ?', from, to)
  for (const { number } of old) {
    tx.run('DELETE FROM webhook_deliveries WHERE event = ?', number)
    tx.run('DELETE FROM webhook_events WHERE number = ?', number)
  }
  return Math.max(pruned, old.length)
}
