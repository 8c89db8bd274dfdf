/** What POST /webhooks/dynamic does with what came: whose it is first, then what it says, then that, once. */
import { isFailure } from '../domain/failure.ts'
import { type DelegationEvent, type DelegationWebhook, readDelegationEvent, senderOf } from './delegation-webhook.ts'
import { takeBack, takeDelivery, type TakeNeeds } from './take-delivery.ts'

export type ReceiveNeeds = TakeNeeds & {
  /** The sender hears nothing of what went wrong inside. */
  readonly onInternalError: (error: unknown) => void
}

export type WebhookAnswer = {
  readonly status: 200 | 400 | 401 | 500
  readonly body: { readonly success: true; readonly message: string } | { readonly error: string }
}

const done = (message: string): WebhookAnswer => ({ status: 200, body: { success: true, message } })
const refused = (status: 400 | 401 | 500, error: string): WebhookAnswer => ({ status, body: { error } })

/** Never throws. What is refused with 400 or 500 may be sent again: it was not taken. */
export const receiveWebhook = async (
  needs: ReceiveNeeds,
  { body, signature }: { readonly body: Uint8Array; readonly signature: string | undefined },
): Promise<WebhookAnswer> => {
  const sender = senderOf(needs.webhooks, body, signature)
  if (sender === undefined) return refused(401, signature === undefined ? 'missing signature' : 'invalid signature')
  const event = readDelegationEvent(body)
  if (event === undefined) return refused(400, 'invalid payload')
  try {
    return await act(needs, sender, event)
  } catch (error) {
    if (isFailure(error) && error.reason === 'ENVELOPE_INVALID') return refused(400, error.message)
    if (isFailure(error) && error.reason === 'GRANTING_DAEMON_UNKNOWN') return refused(400, error.message)
    needs.onInternalError(error)
    return refused(500, 'internal error')
  }
}

const act = async (needs: ReceiveNeeds, sender: DelegationWebhook, event: DelegationEvent): Promise<WebhookAnswer> => {
  if (event.kind === 'ping') return done('pong')
  if (event.kind === 'other') return done('nothing to do')
  const { eventId, timeMs } = event
  const bringer = { project: sender.project, sender, eventId, actor: { kind: 'daemon', id: '' }, method: 'webhook' } as const
  if (event.kind === 'revoked') {
    await takeBack(needs, { ...bringer, accessId: event.accessId, eventMs: timeMs })
    return done('access revoked')
  }
  const { delivery, walletId: foreignId, keyType, address, userId } = event
  await takeDelivery(needs, { ...bringer, delivery, foreignId, said: { address, keyType, userId }, grantedMs: timeMs })
  return done('access stored')
}
