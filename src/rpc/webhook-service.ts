/** The part of countersign.v1.AdminService that keeps webhooks: from the wire to a use case and back. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import { invalidField } from '../domain/failure.ts'
import type { WebhookFormat } from '../domain/webhook-events.ts'
import type { UpdateWebhookRequest, WebhookDeliverySchema, WebhookSchema } from '../../gen/countersign/v1/admin_pb.ts'
import {
  ListWebhookDeliveriesRequestSchema,
  ListWebhooksRequestSchema,
  WebhookDeliveryState as WireDeliveryState,
  WebhookFormat as WireFormat,
  WebhookState as WireState,
} from '../../gen/countersign/v1/admin_pb.ts'
import type { PageTokens } from './page-token.ts'
import { listPage } from './paging.ts'
import type { Handlers } from './pipeline.ts'
import type {
  DeliveryView,
  UpdateWebhookRequest as UpdateArgs,
  WebhookUseCases,
  WebhookView,
} from './webhook-use-cases.ts'
import { bothWays, optionalTimestamp, orAbsent, toTimestamp } from './wire-words.ts'

const formats = bothWays<WebhookFormat, WireFormat>({
  COUNTERSIGN: WireFormat.COUNTERSIGN,
  CDP: WireFormat.CDP,
  DYNAMIC: WireFormat.DYNAMIC,
})

const states = bothWays<WebhookView['state'], WireState>({
  active: WireState.ACTIVE,
  disabled: WireState.DISABLED,
  gone: WireState.GONE,
})

const deliveryStates = bothWays<DeliveryView['state'], WireDeliveryState>({
  PENDING: WireDeliveryState.PENDING,
  DELIVERED: WireDeliveryState.DELIVERED,
  FAILED: WireDeliveryState.FAILED,
})

const toWireWebhook = (webhook: WebhookView): MessageInitShape<typeof WebhookSchema> => ({
  webhookId: webhook.webhookId,
  projectId: webhook.projectId,
  displayName: webhook.name,
  url: webhook.url,
  format: formats.toWire(webhook.format),
  eventTypes: [...webhook.subscriptions],
  state: states.toWire(webhook.state),
  createTime: toTimestamp(webhook.createTimeMs),
  updateTime: toTimestamp(webhook.updateTimeMs),
  etag: webhook.etag,
  ...optionalTimestamp('previousSecretExpireTime', webhook.previousSecretExpireTimeMs),
})

const toWireDelivery = (delivery: DeliveryView): MessageInitShape<typeof WebhookDeliverySchema> => ({
  webhookId: delivery.webhookId,
  eventId: delivery.eventId,
  eventType: delivery.type,
  eventTime: toTimestamp(delivery.eventMs),
  state: deliveryStates.toWire(delivery.state),
  attemptCount: delivery.attempts,
  redeliveryCount: delivery.round,
  lastStatus: delivery.lastStatus ?? 0,
  lastError: delivery.lastError,
  lastResponseExcerpt: delivery.excerpt,
  ...optionalTimestamp('nextAttemptTime', delivery.state === 'PENDING' ? delivery.nextAttemptMs : undefined),
  ...optionalTimestamp('lastAttemptTime', delivery.lastAttemptMs),
})

const readState = (wire: number): 'active' | 'disabled' => {
  const state = states.fromWire(wire)
  if (state === 'active' || state === 'disabled') return state
  throw invalidField('webhook.state', 'must be ACTIVE or DISABLED')
}

const readUpdate = ({ webhook, updateMask, rotateSecret, secretOverlapSeconds }: UpdateWebhookRequest): UpdateArgs => {
  if (webhook === undefined) {
    throw invalidField('webhook', 'is required')
  }
  const isNamed = (path: string): boolean => updateMask?.paths.includes(path) === true
  return {
    webhookId: webhook.webhookId,
    projectId: orAbsent(webhook.projectId),
    etag: orAbsent(webhook.etag),
    changes: {
      ...(isNamed('display_name') ? { name: webhook.displayName } : {}),
      ...(isNamed('url') ? { url: webhook.url } : {}),
      ...(isNamed('event_types') ? { subscriptions: [...new Set(webhook.eventTypes)] } : {}),
      ...(isNamed('state') ? { state: readState(webhook.state) } : {}),
    },
    rotate: rotateSecret ? { overlapMs: secretOverlapSeconds * 1_000 } : undefined,
  }
}

export const webhookHandlers = (webhooks: WebhookUseCases, tokens: PageTokens) =>
  ({
    createWebhook: async (request, call) => {
      const { webhook, secret } = await webhooks.createWebhook(call, {
        projectId: orAbsent(request.projectId),
        name: request.displayName,
        url: request.url,
        format: formats.fromWire(request.format) ?? 'COUNTERSIGN',
        subscriptions: request.eventTypes,
      })
      return { webhook: toWireWebhook(webhook), secret }
    },
    listWebhooks: async (request, call) => {
      const projectId = orAbsent(request.projectId)
      const { items, nextPageToken } = await listPage(tokens, ListWebhooksRequestSchema, request, call, (page) =>
        webhooks.listWebhooks(call, { ...page, projectId }),
      )
      return { webhooks: items.map(toWireWebhook), nextPageToken }
    },
    updateWebhook: async (request, call) => {
      const { webhook, secret } = await webhooks.updateWebhook(call, readUpdate(request))
      return { webhook: toWireWebhook(webhook), secret: secret ?? '' }
    },
    deleteWebhook: async ({ webhookId, projectId, etag }, call) => {
      await webhooks.deleteWebhook(call, { webhookId, projectId: orAbsent(projectId), etag: orAbsent(etag) })
      return {}
    },
    listWebhookDeliveries: async (request, call) => {
      const { webhookId } = request
      const ref = { webhookId, projectId: orAbsent(request.projectId), state: deliveryStates.fromWire(request.state) }
      const { items, nextPageToken } = await listPage(tokens, ListWebhookDeliveriesRequestSchema, request, call, (page) =>
        webhooks.listWebhookDeliveries(call, { ...page, ...ref }),
      )
      return { deliveries: items.map(toWireDelivery), nextPageToken }
    },
    redeliverWebhook: async ({ webhookId, projectId, eventId }, call) => {
      const args = { webhookId, projectId: orAbsent(projectId), eventId }
      return { delivery: toWireDelivery(await webhooks.redeliverWebhook(call, args)) }
    },
  }) satisfies Partial<Handlers<'admin'>>
