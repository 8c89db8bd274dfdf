/** `countersign webhook …`: endpoints that are told what happens in a project. */
import { randomUUID } from 'node:crypto'
import { create } from '@bufbuild/protobuf'
import {
  CreateWebhookResponseSchema,
  type Webhook,
  type WebhookDelivery,
  WebhookDeliverySchema,
  WebhookDeliveryStateSchema,
  WebhookFormatSchema,
  WebhookSchema,
  WebhookState,
  WebhookStateSchema,
} from '../../gen/countersign/v1/admin_pb.ts'
import type { Flags } from '../config/load-config.ts'
import { withDaemon } from './daemon-client.ts'
import { listPages } from './list-pages.ts'
import { enumText, jsonArray, jsonText, parseEnumText, timeText } from './message-text.ts'
import { formatFacts, formatTable } from './print-table.ts'
import { openSecretFile, type SecretFile } from './secret-file.ts'
import { UsageRefusal, type Terminal } from './terminal.ts'

const describeWebhook = (webhook: Webhook): string =>
  formatFacts([
    ['webhook_id', webhook.webhookId],
    ['display_name', webhook.displayName],
    ['project_id', webhook.projectId],
    ['url', webhook.url],
    ['format', enumText(WebhookFormatSchema, webhook.format)],
    ['event_types', webhook.eventTypes.join(', ')],
    ['state', enumText(WebhookStateSchema, webhook.state)],
    ['create_time', timeText(webhook.createTime)],
    ['previous_secret_expire_time', timeText(webhook.previousSecretExpireTime)],
  ])

type Shown = { readonly webhook: Webhook | undefined; readonly secret: string }

/** A webhook, and its secret where there is a new one. */
const print = (terminal: Terminal, flags: Flags, { webhook, secret }: Shown, opened?: SecretFile): void => {
  opened?.write(secret)
  const shown = opened === undefined ? secret : ''
  if (flags.json === true) {
    const answer = create(CreateWebhookResponseSchema, { secret: shown })
    if (webhook !== undefined) answer.webhook = webhook
    return terminal.print(jsonText(CreateWebhookResponseSchema, answer))
  }
  if (webhook !== undefined) terminal.print(describeWebhook(webhook))
  if (secret === '') return
  if (opened === undefined) terminal.print(`secret                       ${secret}`)
  terminal.note(opened === undefined ? 'the secret is shown this once; keep it now' : `the secret is in ${opened.path}`)
}

export type NewWebhook = {
  readonly url: string
  readonly name: string
  readonly projectId: string
  readonly format: string
  readonly eventTypes: readonly string[]
  readonly secretFile: string | undefined
}

export const createWebhook = async (settings: NewWebhook, flags: Flags, terminal: Terminal): Promise<void> => {
  const format = parseEnumText(WebhookFormatSchema, settings.format)
  if (format === undefined) throw new UsageRefusal(`--format: ${settings.format} is none of countersign, cdp, dynamic`)
  const { url, projectId, name: displayName } = settings
  const request = { url, projectId, displayName, format, eventTypes: [...settings.eventTypes], requestId: randomUUID() }
  await withDaemon(flags, terminal, async ({ admin }) => {
    using opened = openSecretFile(settings.secretFile)
    const { webhook, secret } = await admin.createWebhook(request)
    print(terminal, flags, { webhook, secret }, opened)
  })
}

export const listWebhooks = async (projectId: string, limit: number, flags: Flags, terminal: Terminal): Promise<void> => {
  const webhooks = await withDaemon(flags, terminal, ({ admin }) =>
    listPages(limit, async (page) => {
      const answer = await admin.listWebhooks({ ...page, projectId })
      return { items: answer.webhooks, nextPageToken: answer.nextPageToken }
    }),
  )
  if (flags.json === true) return terminal.print(jsonArray(WebhookSchema, webhooks))
  const rows = webhooks.map((webhook) => [
    webhook.webhookId,
    webhook.displayName,
    enumText(WebhookFormatSchema, webhook.format),
    enumText(WebhookStateSchema, webhook.state),
    webhook.eventTypes.join(','),
    webhook.url,
  ])
  terminal.print(formatTable(['WEBHOOK', 'NAME', 'FORMAT', 'STATE', 'EVENTS', 'URL'], rows))
}

/** Which webhook, of which project (empty: that of the key). */
export type WebhookRef = { readonly webhookId: string; readonly projectId: string }

export const rotateWebhook = async (
  ref: WebhookRef,
  rotation: { readonly overlapSeconds: number; readonly secretFile: string | undefined },
  flags: Flags,
  terminal: Terminal,
): Promise<void> =>
  withDaemon(flags, terminal, async ({ admin }) => {
    using opened = openSecretFile(rotation.secretFile)
    const { webhook, secret } = await admin.updateWebhook({
      webhook: ref,
      rotateSecret: true,
      secretOverlapSeconds: rotation.overlapSeconds,
      requestId: randomUUID(),
    })
    print(terminal, flags, { webhook, secret }, opened)
  })

export const switchWebhook = async (ref: WebhookRef, isOn: boolean, flags: Flags, terminal: Terminal): Promise<void> =>
  withDaemon(flags, terminal, async ({ admin }) => {
    const state = isOn ? WebhookState.ACTIVE : WebhookState.DISABLED
    const { webhook, secret } = await admin.updateWebhook({
      webhook: { ...ref, state },
      updateMask: { paths: ['state'] },
      requestId: randomUUID(),
    })
    print(terminal, flags, { webhook, secret })
  })

export const deleteWebhook = async (ref: WebhookRef, flags: Flags, terminal: Terminal): Promise<void> =>
  withDaemon(flags, terminal, async ({ admin }) => {
    await admin.deleteWebhook({ ...ref, requestId: randomUUID() })
    terminal.print(flags.json === true ? '{}' : `${ref.webhookId} is deleted`)
  })

const rowOf = (delivery: WebhookDelivery): readonly string[] => [
  delivery.eventId,
  delivery.eventType,
  timeText(delivery.eventTime),
  enumText(WebhookDeliveryStateSchema, delivery.state),
  String(delivery.attemptCount),
  delivery.lastError === '' && delivery.lastStatus !== 0 ? String(delivery.lastStatus) : delivery.lastError,
  timeText(delivery.nextAttemptTime),
]
const HEADINGS = ['EVENT', 'TYPE', 'TIME', 'STATE', 'ATTEMPTS', 'LAST', 'NEXT ATTEMPT']

export const listDeliveries = async (
  ref: WebhookRef,
  filter: { readonly state: string | undefined; readonly limit: number },
  flags: Flags,
  terminal: Terminal,
): Promise<void> => {
  const state = filter.state === undefined ? 0 : parseEnumText(WebhookDeliveryStateSchema, filter.state)
  if (state === undefined) throw new UsageRefusal(`--state: ${filter.state ?? ''} is none of pending, delivered, failed`)
  const deliveries = await withDaemon(flags, terminal, ({ admin }) =>
    listPages(filter.limit, async (page) => {
      const answer = await admin.listWebhookDeliveries({ ...page, ...ref, state })
      return { items: answer.deliveries, nextPageToken: answer.nextPageToken }
    }),
  )
  if (flags.json === true) return terminal.print(jsonArray(WebhookDeliverySchema, deliveries))
  terminal.print(formatTable(HEADINGS, deliveries.map(rowOf)))
}

export const redeliverWebhook = async (ref: WebhookRef, eventId: string, flags: Flags, terminal: Terminal): Promise<void> =>
  withDaemon(flags, terminal, async ({ admin }) => {
    const { delivery } = await admin.redeliverWebhook({ ...ref, eventId, requestId: randomUUID() })
    if (delivery === undefined) return
    if (flags.json === true) return terminal.print(jsonText(WebhookDeliverySchema, delivery))
    terminal.print(formatTable(HEADINGS, [rowOf(delivery)]))
  })
