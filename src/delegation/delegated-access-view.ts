import type { DelegatedTerms } from '../domain/delegated-terms.ts'
import type { DelegatedAccessEventData } from '../domain/webhook-events.ts'
import { accessStateAt, type DelegatedAccess } from '../vault/delegated-access.ts'
import type { Delegate } from '../vault/delegates.ts'
import type { Reader } from '../vault/store.ts'
import { type KeyType, requireWallet } from '../vault/wallets.ts'
import type { Webhook } from '../vault/webhooks.ts'

/** What a delegate was given, as callers see it. */
export type DelegatedAccessView = {
  readonly accessId: string
  readonly walletId: string
  readonly userId: string
  readonly keyType: KeyType
  readonly address: string
  readonly delegateId: string
  readonly kid: string
  readonly terms: DelegatedTerms
  readonly expireTimeMs: number
  readonly grantId: string | undefined
  readonly state: 'pending' | 'active' | 'expired' | 'revoked'
  readonly createTimeMs: number
  readonly activateTimeMs: number | undefined
  readonly endTimeMs: number | undefined
}

const STATES = { MAKING: 'pending', PENDING: 'pending', ACTIVE: 'active', EXPIRED: 'expired', REVOKED: 'revoked' } as const

export const viewAccess = (reader: Reader, access: DelegatedAccess, nowMs: number): DelegatedAccessView => {
  const { keyType, address } = requireWallet(reader, access.walletId)
  return {
    accessId: access.accessId,
    walletId: access.walletId,
    userId: access.userId,
    keyType,
    address,
    delegateId: access.delegateId,
    kid: access.kid,
    terms: access.terms,
    expireTimeMs: access.expireMs,
    grantId: access.grantId,
    state: STATES[accessStateAt(access, nowMs)],
    createTimeMs: access.createMs,
    activateTimeMs: access.activateMs,
    endTimeMs: access.endMs,
  }
}

/** An access as webhooks tell of it. */
export const accessEvent = (reader: Reader, { accessId, walletId, userId }: DelegatedAccess): DelegatedAccessEventData => {
  const { keyType, address } = requireWallet(reader, walletId)
  return { delegated_access_id: accessId, wallet_id: walletId, key_type: keyType, address, user_id: userId }
}

/** A delegate hears by its own endpoint of what is its own; endpoints of other formats are the project's. */
export const isToldTo =
  ({ webhookId }: Pick<Delegate, 'webhookId'>) =>
  (webhook: Webhook): boolean =>
    webhook.format !== 'DYNAMIC' || webhook.webhookId === webhookId
