import type {
  DeliveryView,
  NewWebhookRequest,
  UpdateWebhookRequest,
  WebhookRef,
  WebhookView,
  WebhookWithSecret,
} from '../delegation/webhook-endpoints.ts'
import type { Call } from '../domain/call.ts'
import type { Page, PageRequest } from './use-cases.ts'

export type { DeliveryView, NewWebhookRequest, UpdateWebhookRequest, WebhookView }

/** A project that is not named is the caller's own. */
export type WebhookUseCases = {
  readonly createWebhook: (call: Call, args: NewWebhookRequest) => Promise<WebhookWithSecret>
  readonly listWebhooks: (call: Call, args: PageRequest & { readonly projectId: string | undefined }) => Promise<Page<WebhookView>>
  readonly updateWebhook: (
    call: Call,
    args: UpdateWebhookRequest,
  ) => Promise<{ readonly webhook: WebhookView; readonly secret: string | undefined }>
  readonly deleteWebhook: (call: Call, args: WebhookRef & { readonly etag: string | undefined }) => Promise<void>
  readonly listWebhookDeliveries: (
    call: Call,
    args: PageRequest & WebhookRef & { readonly state: DeliveryView['state'] | undefined },
  ) => Promise<Page<DeliveryView>>
  readonly redeliverWebhook: (call: Call, args: WebhookRef & { readonly eventId: string }) => Promise<DeliveryView>
}
