/** Webhooks as operators keep them: made, looked at, changed, ended, and asked to send again. */
import type { Call } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import { parseProjectId, parseWebhookId, type ProjectId, type WebhookId } from '../domain/ids.ts'
import { subscriptionsOf, type WebhookFormat } from '../domain/webhook-events.ts'
import { appendAudit, type AuditEvent, findAuditOfRequest } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { requireProject } from '../vault/projects.ts'
import type { Reader, Tx } from '../vault/store.ts'
import { type Delivery, listDeliveries, redeliver } from '../vault/webhook-deliveries.ts'
import { recordPing } from '../vault/webhook-outbox.ts'
import {
  deleteWebhook as deleteStored,
  findWebhook,
  insertWebhook,
  listWebhooks as listStored,
  updateWebhook as updateStored,
  type Webhook,
  type WebhookChange,
  WEBHOOKS_PER_PROJECT,
} from '../vault/webhooks.ts'
import { generateWebhookSecret, pingData } from './webhook-format.ts'
import { readSecrets, removeSecrets, writeSecret } from './webhook-secrets.ts'

export type WebhookNeeds = {
  readonly vault: DaemonVault
  readonly clock: Clock
  /** Why a URL is none to send to. */
  readonly judgeUrl: (url: string) => string | undefined
}

export type WebhookView = Omit<Webhook, 'number' | 'state' | 'createMs' | 'updateMs' | 'previousUntilMs' | 'project'> & {
  readonly projectId: ProjectId
  readonly state: 'active' | 'disabled' | 'gone'
  readonly createTimeMs: number
  readonly updateTimeMs: number
  readonly previousSecretExpireTimeMs: number | undefined
}
export type WebhookWithSecret = { readonly webhook: WebhookView; readonly secret: string }
export type DeliveryView = Omit<Delivery, 'event'> & { readonly webhookId: WebhookId }

const view = (webhook: Webhook, nowMs: number): WebhookView => ({
  webhookId: webhook.webhookId,
  projectId: webhook.project,
  name: webhook.name,
  url: webhook.url,
  format: webhook.format,
  subscriptions: webhook.subscriptions,
  state: webhook.state.toLowerCase() as WebhookView['state'],
  createTimeMs: webhook.createMs,
  updateTimeMs: webhook.updateMs,
  previousSecretExpireTimeMs: nowMs < webhook.previousUntilMs ? webhook.previousUntilMs : undefined,
  etag: webhook.etag,
})

const viewDelivery = ({ webhookId }: Webhook, { event: _event, ...delivery }: Delivery): DeliveryView => ({ ...delivery, webhookId })

/** Undefined: the caller's own. Refuses with PROJECT_NOT_FOUND. */
const projectOf = (reader: Reader, call: Call, text: string | undefined): ProjectId => {
  const projectId = text === undefined ? call.caller.projectId : parseProjectId(text)
  if (projectId === undefined) throw failure('PROJECT_NOT_FOUND', {})
  return requireProject(reader, projectId).projectId
}

/** Which webhook, of which project (undefined: the caller's own): one of another project does not exist. */
export type WebhookRef = { readonly webhookId: string; readonly projectId: string | undefined }

const requireOf = (reader: Reader, call: Call, ref: WebhookRef): Webhook => {
  const webhookId = parseWebhookId(ref.webhookId)
  const project = projectOf(reader, call, ref.projectId)
  const webhook = webhookId === undefined ? undefined : findWebhook(reader, webhookId)
  if (webhook?.project !== project || webhook.state === 'DELETED') throw failure('WEBHOOK_NOT_FOUND', {})
  return webhook
}

const record = (tx: Tx, call: Call, kind: string, webhook: Webhook, timeMs: number, details?: AuditEvent['details']): void => {
  appendAudit(tx, {
    timeMs,
    kind,
    project: webhook.project,
    actor: { kind: 'operator', id: call.caller.principal },
    subject: { type: 'webhook', id: webhook.webhookId },
    method: call.method.split('/').at(-1),
    requestId: call.requestId,
    decision: 'allow',
    details,
  })
}

const requireUrl = ({ judgeUrl }: WebhookNeeds, url: string): void => {
  const why = judgeUrl(url)
  if (why !== undefined) throw failure('WEBHOOK_URL_REFUSED', { why })
}

const requireSubscriptions = (format: WebhookFormat, subscriptions: readonly string[]): void => {
  const known = subscriptionsOf(format)
  const violations = subscriptions.flatMap((subscription, index) =>
    known.has(subscription) ? [] : [{ field: `event_types[${index}]`, description: 'is no event of this format' }],
  )
  if (violations.length > 0) throw failure('INVALID_REQUEST', { violations })
}

export type NewWebhookRequest = {
  readonly projectId: string | undefined
  readonly name: string
  readonly url: string
  readonly format: WebhookFormat
  readonly subscriptions: readonly string[]
}

/** Refuses: PROJECT_NOT_FOUND, WEBHOOK_URL_REFUSED, INVALID_REQUEST for an event the format has not, LIMIT_EXCEEDED. */
export const createWebhook = (needs: WebhookNeeds, call: Call, request: NewWebhookRequest): Promise<WebhookWithSecret> => {
  const { name, url, format, subscriptions } = request
  requireUrl(needs, url)
  requireSubscriptions(format, subscriptions)
  return needs.vault.commit((tx) => {
    const nowMs = Math.trunc(needs.clock.nowMs())
    const project = projectOf(tx, call, request.projectId)
    const before = call.isRepeat ? madeBefore(tx, call, project) : undefined
    if (before !== undefined) return { webhook: view(before, nowMs), secret: readSecrets(needs.vault, before, nowMs).current }
    const webhook = insertWebhook(tx, { project, name, url, format, subscriptions, nowMs })
    const secret = generateWebhookSecret(format)
    writeSecret(needs.vault, tx, webhook, secret, false)
    if (format === 'DYNAMIC') recordPing(tx, webhook, pingData(webhook), nowMs)
    record(tx, call, 'webhook.created', webhook, nowMs, { url, format, eventTypes: subscriptions })
    return { webhook: view(webhook, nowMs), secret }
  })
}

/** The webhook that an interrupted run of the same request made, when it came that far. */
const madeBefore = (tx: Tx, call: Call, project: ProjectId): Webhook | undefined => {
  const { requestId, caller } = call
  if (requestId === undefined) return undefined
  return listStored(tx, { project, limit: WEBHOOKS_PER_PROJECT }).find(({ webhookId: subjectId }) =>
    findAuditOfRequest(tx, { subjectId, kind: 'webhook.created', actorId: caller.principal, requestId }),
  )
}

export const listWebhooks = (
  { vault, clock }: WebhookNeeds,
  call: Call,
  args: { readonly pageSize: number; readonly cursor: string | undefined; readonly projectId: string | undefined },
): { readonly items: readonly WebhookView[]; readonly nextCursor: string | undefined } => {
  const project = projectOf(vault.read, call, args.projectId)
  const after = args.cursor === undefined ? undefined : BigInt(args.cursor)
  const found = listStored(vault.read, { project, after, limit: args.pageSize + 1 })
  const items = found.slice(0, args.pageSize)
  return {
    items: items.map((webhook) => view(webhook, clock.nowMs())),
    nextCursor: found.length > args.pageSize ? String(items.at(-1)?.number) : undefined,
  }
}

export type UpdateWebhookRequest = WebhookRef & {
  readonly etag: string | undefined
  readonly changes: {
    readonly name?: string
    readonly url?: string
    readonly subscriptions?: readonly string[]
    readonly state?: 'active' | 'disabled'
  }
  /** A new secret, beside which the old one goes on for so long. */
  readonly rotate: { readonly overlapMs: number } | undefined
}

/** Refuses: WEBHOOK_NOT_FOUND, ETAG_MISMATCH, WEBHOOK_URL_REFUSED, INVALID_REQUEST for an event the format has not. */
export const updateWebhook = (
  needs: WebhookNeeds,
  call: Call,
  { changes, rotate, etag, ...ref }: UpdateWebhookRequest,
): Promise<{ readonly webhook: WebhookView; readonly secret: string | undefined }> => {
  if (changes.url !== undefined) requireUrl(needs, changes.url)
  return needs.vault.commit((tx) => {
    const nowMs = Math.trunc(needs.clock.nowMs())
    const before = requireOf(tx, call, ref)
    if (changes.subscriptions !== undefined) requireSubscriptions(before.format, changes.subscriptions)
    const edit: WebhookChange = {
      name: changes.name,
      url: changes.url,
      subscriptions: changes.subscriptions,
      state: changes.state === undefined ? undefined : changes.state === 'active' ? 'ACTIVE' : 'DISABLED',
      previousUntilMs: rotate === undefined ? undefined : rotate.overlapMs > 0 ? nowMs + rotate.overlapMs : 0,
    }
    const webhook = updateStored(tx, before.webhookId, edit, { nowMs, etag })
    const secret = rotate === undefined ? undefined : generateWebhookSecret(webhook.format)
    if (rotate !== undefined && secret !== undefined) writeSecret(needs.vault, tx, webhook, secret, rotate.overlapMs > 0)
    record(tx, call, 'webhook.updated', webhook, nowMs, {
      ...(changes.url === undefined ? {} : { url: changes.url }),
      ...(changes.subscriptions === undefined ? {} : { eventTypes: changes.subscriptions }),
      ...(changes.state === undefined ? {} : { state: changes.state }),
      ...(rotate === undefined ? {} : { secretRotated: true, overlapMs: rotate.overlapMs }),
    })
    return { webhook: view(webhook, nowMs), secret }
  })
}

/** Refuses: WEBHOOK_NOT_FOUND, ETAG_MISMATCH. */
export const deleteWebhook = (
  needs: WebhookNeeds,
  call: Call,
  { etag, ...ref }: WebhookRef & { readonly etag: string | undefined },
): Promise<void> =>
  needs.vault.commit((tx) => {
    const nowMs = Math.trunc(needs.clock.nowMs())
    const webhook = requireOf(tx, call, ref)
    deleteStored(tx, webhook.webhookId, { nowMs, etag })
    removeSecrets(needs.vault, tx, webhook)
    record(tx, call, 'webhook.deleted', webhook, nowMs)
  })

/** The newest event first. Refuses with WEBHOOK_NOT_FOUND. */
export const listWebhookDeliveries = (
  { vault }: WebhookNeeds,
  call: Call,
  { pageSize, cursor, state, ...ref }: WebhookRef & {
    readonly pageSize: number
    readonly cursor: string | undefined
    readonly state: Delivery['state'] | undefined
  },
): { readonly items: readonly DeliveryView[]; readonly nextCursor: string | undefined } => {
  const webhook = requireOf(vault.read, call, ref)
  const before = cursor === undefined ? undefined : BigInt(cursor)
  const found = listDeliveries(vault.read, { webhook: webhook.number, state, before, limit: pageSize + 1 })
  const items = found.slice(0, pageSize)
  return {
    items: items.map((delivery) => viewDelivery(webhook, delivery)),
    nextCursor: found.length > pageSize ? String(items.at(-1)?.event) : undefined,
  }
}

/** Refuses: WEBHOOK_NOT_FOUND, WEBHOOK_DELIVERY_NOT_FOUND. */
export const redeliverWebhook = (
  needs: WebhookNeeds,
  call: Call,
  { eventId, ...ref }: WebhookRef & { readonly eventId: string },
): Promise<DeliveryView> =>
  needs.vault.commit((tx) => {
    const nowMs = Math.trunc(needs.clock.nowMs())
    const webhook = requireOf(tx, call, ref)
    const delivery = redeliver(tx, webhook.number, eventId.toLowerCase(), nowMs)
    record(tx, call, 'webhook.redelivered', webhook, nowMs, { eventId: delivery.eventId })
    return viewDelivery(webhook, delivery)
  })
