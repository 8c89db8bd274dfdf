import { randomUUID } from 'node:crypto'
import { assert } from '../domain/failure.ts'
import type { ProjectId } from '../domain/ids.ts'
import type { SentEventType, WebhookEventData, WebhookEventType } from '../domain/webhook-events.ts'
import { hearsOf } from '../domain/webhook-events.ts'
import { canonicalJson } from './canonical-json.ts'
import type { JsonValue } from './canonical-json.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import type { Reader, Tx } from './store.ts'
import { u64 } from './tagged-encoding.ts'
import { type Webhook, webhooksOf } from './webhooks.ts'

/**
 * The outbox. An event is written in the transaction of what happened, with one delivery for every endpoint that hears
 * of it, so it is there exactly when that is; it keeps its id however often it is sent. Rows are under a MAC: a receiver
 * believes what is signed.
 */
export type WebhookEvent = {
  /** A UUID. */
  readonly eventId: string
  readonly project: ProjectId
  readonly type: SentEventType
  readonly data: { readonly [name: string]: JsonValue | undefined }
  readonly timeMs: number
}

type Row = {
  event_id: string
  project: string
  type: string
  data: string
  time_ms: bigint
  mac: Buffer
}

const macItems = (row: Omit<Row, 'mac'>) => [row.event_id, row.project, row.type, row.data, u64(row.time_ms)]

/** What is signed and sent stays far below what receivers take. */
const DATA_MAX_BYTES = 65_536

const INSERT_EVENT = `INSERT INTO webhook_events (event_id, project, type, data, time_ms, mac) VALUES (?, ?, ?, ?, ?, ?)`
const NUMBER_OF_EVENT = 'SELECT number FROM webhook_events WHERE event_id = ?'
const INSERT_DELIVERY = `INSERT INTO webhook_deliveries (webhook, event, state, attempts, round, round_attempts,
  next_attempt_ms, last_error, excerpt, create_ms) VALUES (?, ?, 'PENDING', 0, 0, 0, ?, '', '', ?)`

const insertEvent = (tx: Tx, event: Omit<WebhookEvent, 'eventId'>, hearers: readonly Webhook[]): string => {
  const data = canonicalJson(event.data)
  assert(Buffer.byteLength(data) <= DATA_MAX_BYTES, 'the data of an event is bounded')
  const time = BigInt(Math.trunc(event.timeMs))
  const row = { event_id: randomUUID(), project: event.project, type: event.type, data, time_ms: time }
  tx.run(INSERT_EVENT, row.event_id, row.project, row.type, row.data, time, rowMac(tx, 'webhook_events', macItems(row)))
  const { number } = tx.one<{ number: bigint }>(NUMBER_OF_EVENT, row.event_id) as { number: bigint }
  for (const webhook of hearers) tx.run(INSERT_DELIVERY, webhook.number, number, time, time)
  return row.event_id
}

export type NewWebhookEvent<T extends WebhookEventType> = {
  readonly project: ProjectId
  readonly type: T
  readonly data: WebhookEventData[T]
  readonly nowMs: number
  /** Which of those that hear of such events hear of this one; absent: all. */
  readonly isFor?: (webhook: Webhook) => boolean
}

/**
 * Writes down, in the transaction of what happened, that it is to be told. Where nobody listens it costs a look into a
 * map. Answers the event's id, undefined when nobody hears of it.
 */
export const recordWebhookEvent = <T extends WebhookEventType>(
  tx: Tx,
  { project, type, data, nowMs, isFor = () => true }: NewWebhookEvent<T>,
): string | undefined => {
  const hearing = webhooksOf(tx, project).filter(({ format, subscriptions }) => hearsOf(format, subscriptions, type))
  const hearers = hearing.filter(isFor)
  if (hearers.length === 0) return undefined
  return insertEvent(tx, { project, type, data, timeMs: nowMs }, hearers)
}

/** Something to send to this endpoint alone. */
export const recordPing = (tx: Tx, webhook: Webhook, data: WebhookEvent['data'], nowMs: number): string =>
  insertEvent(tx, { project: webhook.project, type: 'ping', data, timeMs: nowMs }, [webhook])

const READ = 'SELECT event_id, project, type, data, time_ms, mac FROM webhook_events WHERE number = ?'

/** VAULT_CORRUPT for an altered row. */
export const readWebhookEvent = (reader: Reader, number: bigint): WebhookEvent | undefined => {
  const row = reader.one<Row>(READ, number)
  if (row === undefined) return undefined
  requireRowMac(reader, 'webhook_events', macItems(row), row.mac)
  return {
    eventId: row.event_id,
    project: row.project as ProjectId,
    type: row.type as SentEventType,
    data: JSON.parse(row.data) as WebhookEvent['data'],
    timeMs: Number(row.time_ms),
  }
}
