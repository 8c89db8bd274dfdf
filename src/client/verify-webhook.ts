import { createHmac, timingSafeEqual } from 'node:crypto'

/** What a webhook of format COUNTERSIGN told. */
export type WebhookEvent = {
  /** Stays the same however often the event is sent: take each once. */
  readonly eventId: string
  /** `wallet.created` and the like. More may come with later versions: take what you do not know for heard. */
  readonly type: string
  /** When it happened. */
  readonly timestamp: Date
  readonly projectId: string
  readonly data: Readonly<Record<string, unknown>>
}

/** All but `malformed` say that the message is not to be believed; nothing of it is passed on. */
export type WebhookRefusal =
  /** A header is missing, or there more than once. */
  | 'headers_missing'
  /** Signed too long ago, or in the future. */
  | 'timestamp_out_of_range'
  | 'signature_wrong'
  /** Rightly signed, and nothing this function knows. */
  | 'malformed'

export type VerifiedWebhook =
  | { readonly ok: true; readonly event: WebhookEvent }
  | { readonly ok: false; readonly reason: WebhookRefusal }

export type WebhookMessage = {
  /** As Node has them, or a `Headers`. */
  readonly headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>
  /** The body exactly as it came, before anything parsed it. */
  readonly body: Uint8Array | string
  /** `whsec_…`; while it is rotated, the new one and the old one. */
  readonly secrets: readonly string[]
  /** Unix milliseconds; now when absent. */
  readonly nowMs?: number
  /** How far the time of signing may lie off; five minutes when absent. */
  readonly toleranceMs?: number
}

const PREFIX = 'whsec_'
const TOLERANCE_MS = 300_000
const MAX_SIGNATURES = 16

const headerOf = (headers: WebhookMessage['headers'], name: string): string | undefined => {
  if (headers instanceof Headers) return headers.get(name) ?? undefined
  const values = Object.entries(headers).filter(([key]) => key.toLowerCase() === name)
  const [value] = values.map(([, found]) => found)
  return values.length === 1 && typeof value === 'string' ? value : undefined
}

const keyOf = (secret: string): Uint8Array => {
  const key = Buffer.from(secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : '', 'base64')
  if (key.length < 24) throw new TypeError(`a webhook secret is ${PREFIX} and base64 of at least 24 bytes`)
  return key
}

const isText = (value: unknown): value is string => typeof value === 'string'

const parseEvent = (eventId: string, body: Uint8Array): WebhookEvent | undefined => {
  let parsed: unknown
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    return undefined
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined
  const { type, timestamp, event_id: id, project_id: projectId, data } = parsed as Record<string, unknown>
  if (!isText(type) || !isText(timestamp) || !isText(projectId) || id !== eventId) return undefined
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return undefined
  const time = new Date(timestamp)
  if (Number.isNaN(time.getTime())) return undefined
  return { eventId, type, timestamp: time, projectId, data: data as Record<string, unknown> }
}

/**
 * Whether a message came from the daemon, and what it tells. Checks the signature in constant time over the raw body and
 * its age; that an event was not taken before is the caller's to remember, by `eventId`. Throws TypeError for a secret
 * that is none.
 */
export const verifyWebhook = (message: WebhookMessage): VerifiedWebhook => {
  const { headers, secrets, nowMs = Date.now(), toleranceMs = TOLERANCE_MS } = message
  const keys = secrets.map(keyOf)
  const body = isText(message.body) ? Buffer.from(message.body, 'utf8') : message.body
  const [id, timestamp, signatures] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => headerOf(headers, name))
  if (!isText(id) || !isText(timestamp) || !isText(signatures)) return { ok: false, reason: 'headers_missing' }
  const signedMs = /^[0-9]{1,12}$/.test(timestamp) ? Number(timestamp) * 1_000 : Number.NaN
  if (!(Math.abs(nowMs - signedMs) <= toleranceMs)) return { ok: false, reason: 'timestamp_out_of_range' }
  const shown = signatures
    .split(' ')
    .slice(0, MAX_SIGNATURES)
    .filter((signature) => signature.startsWith('v1,'))
    .map((signature) => Buffer.from(signature.slice(3), 'base64'))
  const expected = keys.map((key) => createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest())
  const isSigned = expected.some((mac) => shown.some((other) => other.length === mac.length && timingSafeEqual(mac, other)))
  if (!isSigned) return { ok: false, reason: 'signature_wrong' }
  const event = parseEvent(id, body)
  return event === undefined ? { ok: false, reason: 'malformed' } : { ok: true, event }
}
