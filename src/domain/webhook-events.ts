/**
 * What webhooks tell: the closed list of events and what each says. Ids and addresses as the API shows them, times as
 * RFC 3339 text, nothing secret.
 */
import type { SealedEnvelope } from './sealed-envelope.ts'

export type GrantEventData = {
  readonly grant_id: string
  readonly user_id: string
  /** Absent for a grant over all wallets of the end user. */
  readonly address?: string | undefined
  readonly create_time: string
  readonly expire_time: string
}

export type DelegatedAccessEventData = {
  /** A UUID: what Dynamic's envelope calls walletId. */
  readonly delegated_access_id: string
  readonly wallet_id: string
  readonly key_type: 'secp256k1' | 'ed25519'
  readonly address: string
  readonly user_id: string
}

export type SessionKeyEventData = {
  readonly session_key_id: string
  readonly wallet_id: string
  readonly user_id: string
  readonly address: string
  readonly profile: string
  readonly network: string
  readonly expire_time: string
}

export type WalletEventData = {
  readonly wallet_id: string
  readonly user_id: string
  readonly key_type: 'secp256k1' | 'ed25519'
  readonly owner_type: 'project' | 'end_user'
  readonly label: string
  readonly address: string
}

/** Amounts are decimal texts, in whole tokens. */
export type ExternalWalletEventData = {
  readonly external_wallet_id: string
  readonly user_id: string
  readonly network: string
  readonly currency: string
  readonly address: string
  readonly spender_address: string
  readonly allowance: string
  readonly balance: string
  readonly block_number: string
}

export type TransactionEventData = {
  readonly transaction_id: string
  readonly wallet_id: string
  readonly network: string
  /** CAIP-2. */
  readonly chain: string
  /** '' where nothing was let out. */
  readonly transaction_hash: string
  /** Why, where it is not confirmed. */
  readonly reason?: string | undefined
  /** In decimal; of the block it is in. */
  readonly block_number?: string | undefined
}

/** Amounts are decimal texts, in whole tokens. */
export type SpendEventData = {
  readonly spend_id: string
  readonly user_id: string
  readonly external_wallet_id: string
  readonly network: string
  readonly currency: string
  readonly amount: string
  readonly destination: string
  readonly transaction_hash: string
}

export type WebhookEventData = {
  'grant.created': GrantEventData
  'grant.revoked': GrantEventData & { readonly revoke_time: string }
  'grant.expired': GrantEventData
  'delegated_access.created': DelegatedAccessEventData & {
    readonly encrypted_delegated_share: SealedEnvelope
    readonly encrypted_wallet_api_key: SealedEnvelope
  }
  'delegated_access.revoked': DelegatedAccessEventData
  'session_key.created': SessionKeyEventData
  'session_key.revoked': SessionKeyEventData & { readonly revoke_time: string }
  'session_key.expired': SessionKeyEventData
  'wallet.created': WalletEventData
  'wallet.archived': WalletEventData
  'wallet.refreshed': WalletEventData & { readonly refresh_count: number }
  'wallet.exported': WalletEventData
  'wallet.imported': WalletEventData
  'transaction.confirmed': TransactionEventData
  'transaction.failed': TransactionEventData
  'transaction.replaced': TransactionEventData
  'transaction.expired': TransactionEventData
  /** Nothing has moved it for a while; `reason` says why, as far as anybody does. */
  'transaction.stuck': TransactionEventData
  'external_wallet.revoked': ExternalWalletEventData
  'external_wallet.approved_again': ExternalWalletEventData
  'external_wallet.limit_changed': ExternalWalletEventData
  'spend.settled': SpendEventData & { readonly delivered_amount: string }
  'spend.failed': SpendEventData & { readonly reason: string }
}

export type WebhookEventType = keyof WebhookEventData

/** `ping` is what a new DYNAMIC endpoint is sent, and nothing else is: nobody subscribes to it. */
export type SentEventType = WebhookEventType | 'ping'

const EVERY_TYPE: { readonly [T in WebhookEventType]: true } = {
  'grant.created': true,
  'grant.revoked': true,
  'grant.expired': true,
  'delegated_access.created': true,
  'delegated_access.revoked': true,
  'session_key.created': true,
  'session_key.revoked': true,
  'session_key.expired': true,
  'wallet.created': true,
  'wallet.archived': true,
  'wallet.refreshed': true,
  'wallet.exported': true,
  'wallet.imported': true,
  'transaction.confirmed': true,
  'transaction.failed': true,
  'transaction.replaced': true,
  'transaction.expired': true,
  'transaction.stuck': true,
  'external_wallet.revoked': true,
  'external_wallet.approved_again': true,
  'external_wallet.limit_changed': true,
  'spend.settled': true,
  'spend.failed': true,
}

export const WEBHOOK_EVENT_TYPES = Object.keys(EVERY_TYPE) as readonly WebhookEventType[]

export type WebhookFormat = 'COUNTERSIGN' | 'CDP' | 'DYNAMIC'

/** The events a format has a name for. */
const TYPES_OF_FORMAT: { readonly [F in WebhookFormat]: readonly WebhookEventType[] } = {
  COUNTERSIGN: WEBHOOK_EVENT_TYPES,
  CDP: ['grant.created', 'grant.revoked'],
  DYNAMIC: ['delegated_access.created', 'delegated_access.revoked'],
}

/** `wallet.created` names itself, `wallet.*` every event that begins so. */
const covers = (subscription: string, type: WebhookEventType): boolean =>
  subscription === type || (subscription.endsWith('.*') && type.startsWith(subscription.slice(0, -1)))

const groupOf = (type: WebhookEventType): string => `${type.slice(0, type.indexOf('.'))}.*`

/** What may be subscribed to in a format: its events and the groups they form. */
export const subscriptionsOf = (format: WebhookFormat): ReadonlySet<string> =>
  new Set(TYPES_OF_FORMAT[format].flatMap((type) => [type, groupOf(type)]))

/** Whether an endpoint hears of an event. Subscribed to nothing in particular, it hears all that its format can say. */
export const hearsOf = (format: WebhookFormat, subscriptions: readonly string[], type: WebhookEventType): boolean =>
  TYPES_OF_FORMAT[format].includes(type) &&
  (subscriptions.length === 0 || subscriptions.some((subscription) => covers(subscription, type)))
