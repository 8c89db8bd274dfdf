import { formatDecimalAmount } from '../payload/decimal-amount.ts'
import type { SpendEventData } from '../domain/webhook-events.ts'
import { getSent } from '../vault/sent-queries.ts'
import type { Spend } from '../vault/spends.ts'
import type { Reader } from '../vault/store.ts'

export type SpendView = {
  readonly spendId: string
  readonly sendId: string
  readonly userId: string
  readonly externalWalletId: string
  readonly network: string
  readonly currency: string
  /** Decimal text. */
  readonly amount: string
  readonly destination: string
  readonly state: 'pending' | 'settled' | 'failed'
  readonly reason: string
  /** Of the transfer in its newest form; '' while it is not signed. */
  readonly transactionHash: string
  /** Decimal text; undefined until it is settled. */
  readonly deliveredAmount: string | undefined
  readonly createTimeMs: number
  readonly updateTimeMs: number
}

const STATES = { OPEN: 'pending', CONFIRMED: 'pending', SETTLED: 'settled', FAILED: 'failed' } as const

export const viewSpend = (reader: Reader, spend: Spend): SpendView => {
  const text = (units: bigint): string => formatDecimalAmount(units, spend.decimals)
  const newest = spend.transactionHash === '' ? getSent(reader, spend.sendId)?.versions.findLast(({ hash }) => hash !== '')?.hash : spend.transactionHash
  return {
    spendId: spend.spendId,
    sendId: spend.sendId,
    userId: spend.userId,
    externalWalletId: spend.externalWalletId,
    network: spend.network,
    currency: spend.currency,
    amount: text(spend.units),
    destination: spend.destination,
    state: STATES[spend.state],
    reason: spend.reason,
    transactionHash: newest ?? '',
    deliveredAmount: spend.delivered === undefined ? undefined : text(spend.delivered),
    createTimeMs: spend.createMs,
    updateTimeMs: spend.updateMs,
  }
}

/** A spend as webhooks and audit rows tell of it. */
export const spendEvent = (spend: Spend): SpendEventData => ({
  spend_id: spend.spendId,
  user_id: spend.userId,
  external_wallet_id: spend.externalWalletId,
  network: spend.network,
  currency: spend.currency,
  amount: formatDecimalAmount(spend.units, spend.decimals),
  destination: spend.destination,
  transaction_hash: spend.transactionHash,
})
