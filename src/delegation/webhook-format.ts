/**
 * What an endpoint is sent: body and headers in each format, signed for one attempt. Pure.
 *
 * COUNTERSIGN: Standard Webhooks 1.0, HMAC-SHA256 in base64 over `{id}.{timestamp}.{body}`; the secret is `whsec_` and
 * base64 of the key. CDP: Hook0's header, HMAC-SHA256 in hex over `{t}.{names}.{values}.{body}`, names joined by spaces
 * and values by dots; the body is the event's data alone, what it is stands in headers. DYNAMIC: Dynamic's envelope,
 * HMAC-SHA256 in hex over the body. The secrets of these two are keys as they are, in UTF-8.
 */
import { createHash, createHmac, randomBytes, randomUUID } from 'node:crypto'
import type { WebhookFormat } from '../domain/webhook-events.ts'
import { canonicalJson } from '../vault/canonical-json.ts'
import type { WebhookEvent } from '../vault/webhook-outbox.ts'
import type { Webhook } from '../vault/webhooks.ts'

export type SigningSecrets = {
  readonly current: string
  /** The one before, while it still counts. */
  readonly previous?: string | undefined
}

export type AttemptFacts = {
  readonly webhook: Pick<Webhook, 'webhookId' | 'project' | 'format'>
  readonly event: WebhookEvent
  readonly isRedelivery: boolean
  readonly nowMs: number
  /** A fresh UUID. */
  readonly messageId: string
}

export type SignedMessage = { readonly headers: Readonly<Record<string, string>>; readonly body: Uint8Array }

const SECRET_BYTES = 32
const STANDARD_PREFIX = 'whsec_'

export const generateWebhookSecret = (format: WebhookFormat): string => {
  if (format === 'CDP') return randomUUID()
  if (format === 'DYNAMIC') return `dyn_${randomBytes(SECRET_BYTES).toString('base64url')}`
  return STANDARD_PREFIX + randomBytes(SECRET_BYTES).toString('base64')
}

const toSeconds = (timeMs: number): string => String(Math.floor(timeMs / 1_000))
const toText = (timeMs: number): string => new Date(timeMs).toISOString()

const hmac = (secret: string | Uint8Array, encoding: 'hex' | 'base64', ...parts: (string | Uint8Array)[]): string => {
  const mac = createHmac('sha256', secret)
  for (const part of parts) mac.update(part)
  return mac.digest(encoding)
}

const standardMessage = ({ event, nowMs }: AttemptFacts, secrets: SigningSecrets): SignedMessage => {
  const { eventId, type, project, data, timeMs } = event
  const body = Buffer.from(canonicalJson({ type, timestamp: toText(timeMs), event_id: eventId, project_id: project, data }))
  const timestamp = toSeconds(nowMs)
  const sign = (secret: string): string =>
    `v1,${hmac(Buffer.from(secret.slice(STANDARD_PREFIX.length), 'base64'), 'base64', `${eventId}.${timestamp}.`, body)}`
  const signatures = [secrets.current, ...(secrets.previous === undefined ? [] : [secrets.previous])].map(sign)
  return {
    body,
    headers: {
      'content-type': 'application/json',
      'webhook-id': eventId,
      'webhook-timestamp': timestamp,
      'webhook-signature': signatures.join(' '),
    },
  }
}

/** The UUID of 32 hexadecimal digits behind a prefix, and anything else as it is. */
const asUuid = (id: string): string =>
  id.replace(/^[a-z]+_([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})$/, '$1-$2-$3-$4-$5')

const textOf = (data: WebhookEvent['data'], name: string): string => {
  const value = data[name]
  return typeof value === 'string' ? value : ''
}

type Named = readonly [name: string, data: { readonly [name: string]: unknown }]

const CDP_NAMES: { readonly [type: string]: (data: WebhookEvent['data']) => Named } = {
  'grant.created': (data) => [
    'wallet.delegation.created',
    {
      delegation_id: `delegation_${asUuid(textOf(data, 'grant_id'))}`,
      user_id: data['user_id'],
      expires_at: data['expire_time'],
      created_at: data['create_time'],
    },
  ],
  'grant.revoked': (data) => [
    'wallet.delegation.revoked',
    {
      delegation_id: `delegation_${asUuid(textOf(data, 'grant_id'))}`,
      user_id: data['user_id'],
      revoked_at: data['revoke_time'],
    },
  ],
}

const hook0Message = ({ event, nowMs }: AttemptFacts, { current, previous }: SigningSecrets): SignedMessage | undefined => {
  const named = CDP_NAMES[event.type]?.(event.data)
  if (named === undefined) return undefined
  const [name, data] = named
  const body = Buffer.from(JSON.stringify(data))
  const headers = { 'content-type': 'application/json', 'x-event-id': event.eventId, 'x-event-type': name }
  const timestamp = toSeconds(nowMs)
  const names = Object.keys(headers).join(' ')
  const signed = `${timestamp}.${names}.${Object.values(headers).join('.')}.`
  const signature = hmac(previous ?? current, 'hex', signed, body)
  return { body, headers: { ...headers, 'x-hook0-signature': `t=${timestamp},h=${names},v1=${signature}` } }
}

const delegation = (data: WebhookEvent['data']) => ({
  chain: data['key_type'] === 'ed25519' ? 'SVM' : 'EVM',
  // The access's own: a wallet that is delegated again is not what was revoked before.
  walletId: textOf(data, 'delegated_access_id'),
  // The address, whatever its name.
  publicKey: data['address'],
  userId: data['user_id'],
})

const DYNAMIC_NAMES: { readonly [type: string]: (data: WebhookEvent['data']) => Named } = {
  ping: (data) => ['ping', data],
  'delegated_access.created': (data) => [
    'wallet.delegation.created',
    {
      ...delegation(data),
      encryptedDelegatedShare: data['encrypted_delegated_share'],
      encryptedWalletApiKey: data['encrypted_wallet_api_key'],
    },
  ],
  'delegated_access.revoked': (data) => ['wallet.delegation.revoked', delegation(data)],
}

/** Receivers expect a UUID: version 8 (RFC 9562), of the project's id. */
const environmentIdOf = (project: string): string => {
  const bytes = createHash('sha256').update(`countersign/environment/v1 ${project}`).digest().subarray(0, 16)
  bytes[6] = (bytes[6]! & 0x0f) | 0x80
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return asUuid(`env_${bytes.toString('hex')}`)
}

const dynamicMessage = (facts: AttemptFacts, { current, previous }: SigningSecrets): SignedMessage | undefined => {
  const { webhook, event } = facts
  const named = DYNAMIC_NAMES[event.type]?.(event.data)
  if (named === undefined) return undefined
  const [eventName, data] = named
  const envelope = {
    messageId: facts.messageId,
    eventId: event.eventId,
    eventName,
    timestamp: toText(event.timeMs),
    webhookId: asUuid(webhook.webhookId),
    userId: event.data['user_id'] ?? null,
    environmentId: environmentIdOf(event.project),
    environmentName: event.project,
    redelivery: facts.isRedelivery,
    data,
  }
  const body = Buffer.from(JSON.stringify(envelope))
  const signature = `sha256=${hmac(previous ?? current, 'hex', body)}`
  return { body, headers: { 'content-type': 'application/json', 'x-dynamic-signature-256': signature } }
}

/** What a new DYNAMIC endpoint is sent first. */
export const pingData = (webhook: Pick<Webhook, 'webhookId' | 'url'>): WebhookEvent['data'] => ({
  webhookId: asUuid(webhook.webhookId),
  message: 'This endpoint will be told of delegated access.',
  events: ['wallet.delegation.created', 'wallet.delegation.revoked'],
  url: webhook.url,
  isEnabled: true,
})

/** Undefined for an event that the format has no name for. */
export const formatMessage = (facts: AttemptFacts, secrets: SigningSecrets): SignedMessage | undefined => {
  switch (facts.webhook.format) {
    case 'COUNTERSIGN':
      return standardMessage(facts, secrets)
    case 'CDP':
      return hook0Message(facts, secrets)
    case 'DYNAMIC':
      return dynamicMessage(facts, secrets)
  }
}
