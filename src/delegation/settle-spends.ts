/** What becomes of what was spent: held amounts are let go by what becomes of the transfer, and what arrived is read. */
import { isFailure } from '../domain/failure.ts'
import type { Clock } from '../domain/clock.ts'
import { formatDecimalAmount } from '../payload/decimal-amount.ts'
import type { OnSettled } from '../sending/send-request.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { getExternalWallet } from '../vault/external-wallets.ts'
import { getSent } from '../vault/sent-queries.ts'
import { transactionHashOf } from '../vault/sent-transactions.ts'
import { changeSpend, confirmedSpends, findSpendOfSend, getSpend, networksConfirmed, type Spend } from '../vault/spends.ts'
import type { Tx } from '../vault/store.ts'
import { recordWebhookEvent } from '../vault/webhook-outbox.ts'
import { lookAt } from './follow-chains.ts'
import { spendEvent } from './spend-view.ts'
import { type SpenderNeeds, spendingChainOf } from './spenders.ts'

type Ending = 'spend.settled' | 'spend.failed' | 'spend.reopened'

const record = (tx: Tx, spend: Spend, kind: Ending, nowMs: number): void => {
  const delivered = spend.delivered === undefined ? {} : { delivered: formatDecimalAmount(spend.delivered, spend.decimals) }
  const { reason } = spend
  appendAudit(tx, {
    timeMs: nowMs,
    kind,
    project: spend.project,
    actor: { kind: 'daemon', id: '' },
    subject: { type: 'spend', id: spend.spendId },
    ...(reason === '' ? {} : { reason }),
    details: { ...spendEvent(spend), ...delivered, send: spend.sendId },
  })
}

const tell = (tx: Tx, spend: Spend, nowMs: number): void => {
  const { project, decimals, delivered, reason } = spend
  const data = spendEvent(spend)
  if (delivered === undefined) return void recordWebhookEvent(tx, { project, type: 'spend.failed', data: { ...data, reason }, nowMs })
  const settled = { ...data, delivered_amount: formatDecimalAmount(delivered, decimals) }
  recordWebhookEvent(tx, { project, type: 'spend.settled', data: settled, nowMs })
}

const fail = (tx: Tx, { spendId }: Spend, reason: string, transactionHash: string, nowMs: number): void => {
  const failed = changeSpend(tx, spendId, { state: 'FAILED', reason, transactionHash }, nowMs)
  record(tx, failed, 'spend.failed', nowMs)
  tell(tx, failed, nowMs)
}

/** In the transaction in which a send is over, or is so no more. */
export const followSpend: OnSettled = (tx, sent) => {
  const spend = sent.purpose === 'SPEND' ? findSpendOfSend(tx, sent.sendId) : undefined
  if (spend === undefined) return
  const nowMs = sent.updateMs
  switch (sent.state) {
    case 'CONFIRMED':
      changeSpend(tx, spend.spendId, { state: 'CONFIRMED', block: sent.block, transactionHash: transactionHashOf(sent) }, nowMs)
      return
    case 'FAILED':
    case 'REPLACED':
    case 'EXPIRED':
      fail(tx, spend, sent.reason === '' ? sent.state : sent.reason, transactionHashOf(sent), nowMs)
      return
    default:
      // The chain has taken back what was deep enough: the amount is held again.
      if (spend.state !== 'OPEN') record(tx, changeSpend(tx, spend.spendId, { state: 'OPEN' }, nowMs), 'spend.reopened', nowMs)
  }
}

export type SettleNeeds = SpenderNeeds & { readonly vault: DaemonVault; readonly clock: Clock }

const AT_ONCE = 20

const settle = async (needs: SettleNeeds, spend: Spend, signal: AbortSignal): Promise<void> => {
  const { vault, clock } = needs
  const sent = getSent(vault.read, spend.sendId)
  const wallet = getExternalWallet(vault.read, spend.externalWalletId)
  if (sent === undefined || wallet === undefined) return
  const chain = spendingChainOf(needs, spend.network)
  const delivered = await chain.delivered({ wallet, destination: spend.destination, units: spend.units }, sent, signal)
  if (delivered === undefined) return
  await vault.commit((tx) => {
    const current = getSpend(tx, spend.spendId)
    if (current?.state !== 'CONFIRMED') return
    const nowMs = Math.trunc(clock.nowMs())
    const { block, transactionHash } = current
    // A token may take a call and move nothing.
    if (delivered === 0n) return fail(tx, current, 'NOTHING_MOVED', transactionHash, nowMs)
    const settled = changeSpend(tx, spend.spendId, { state: 'SETTLED', block, transactionHash, delivered }, nowMs)
    record(tx, settled, 'spend.settled', nowMs)
    tell(tx, settled, nowMs)
  })
  // What is left of the allowance is news.
  await lookAt(needs, chain, spend.externalWalletId, false, signal)
}

/** Behind which spend of a network the next turn goes on; 0 where it begins again. */
export type SettleCursors = Map<string, bigint>

/**
 * Reads what arrived of what the chain has confirmed, some of each network in a turn. What cannot be read now is read
 * later, and keeps nothing behind it from being read, nor another network's.
 */
export const settleSpends = async (needs: SettleNeeds, signal: AbortSignal, cursors: SettleCursors = new Map()): Promise<void> => {
  const { read } = needs.vault
  const some = networksConfirmed(read).flatMap((network) => {
    const spends = confirmedSpends(read, network, cursors.get(network) ?? 0n, AT_ONCE)
    cursors.set(network, spends.length < AT_ONCE ? 0n : (spends.at(-1)?.number ?? 0n))
    return spends
  })
  const settled = some.map((spend) =>
    settle(needs, spend, signal).catch((error: unknown) => {
      if (!isFailure(error) && !signal.aborted) throw error
    }),
  )
  await Promise.all(settled)
}
