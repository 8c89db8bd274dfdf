/** What becomes of a send: each change with its audit row, in one transaction with what hangs on it. */
import type { WebhookEventType } from '../domain/webhook-events.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import { changeSent, type SentChange, type SentState, type SentTransaction, transactionHashOf } from '../vault/sent-transactions.ts'
import type { Tx } from '../vault/store.ts'
import { recordWebhookEvent } from '../vault/webhook-outbox.ts'
import type { Observation } from './chain-family.ts'
import type { OnSettled } from './send-request.ts'
import { isOver } from './sent-listeners.ts'

const KINDS: { readonly [S in SentState]?: string } = {
  BROADCAST: 'send.broadcast',
  CONFIRMED: 'send.confirmed',
  REPLACED: 'send.replaced',
  FAILED: 'send.failed',
  EXPIRED: 'send.expired',
}

type TransactionEvent = WebhookEventType & `transaction.${string}`

const EVENTS: { readonly [S in SentState]?: TransactionEvent } = {
  CONFIRMED: 'transaction.confirmed',
  REPLACED: 'transaction.replaced',
  FAILED: 'transaction.failed',
  EXPIRED: 'transaction.expired',
}

/** Why nothing moves a send: what a provider says of it, or one of these. */
export type WhyStuck = 'AWAITING_SIGNATURE' | 'HELD_BACK' | 'AWAITING_BLOCK' | (string & {})

/** What nodes of one provider may be apart: a receipt that is missed for so many blocks is not late any more. */
const DISPLACED_DEPTH = 3

/** What a send is that is in no block. */
export const NOT_MINED = { minedVersion: undefined, block: undefined, blockHash: '', succeeded: undefined, depth: 0 } as const

const record = (tx: Tx, sent: SentTransaction, kind: string, reason: string, nowMs: number): void => {
  const { sendId, project, walletId, network, nonce, block } = sent
  appendAudit(tx, {
    timeMs: nowMs,
    kind,
    project,
    actor: { kind: 'daemon', id: '' },
    subject: { type: 'transaction', id: sendId },
    ...(reason === '' ? {} : { reason }),
    details: {
      wallet: walletId,
      network,
      transaction: transactionHashOf(sent),
      ...(nonce === undefined ? {} : { nonce: String(nonce) }),
      ...(block === undefined ? {} : { block: String(block) }),
    },
  })
}

const tell = (tx: Tx, sent: SentTransaction, type: TransactionEvent, reason: string, nowMs: number): void => {
  const { sendId, project, walletId, network, chain, minedVersion, block } = sent
  const data = {
    transaction_id: sendId,
    wallet_id: walletId,
    network,
    chain,
    transaction_hash: transactionHashOf(sent),
    ...(reason === '' ? {} : { reason }),
    ...(minedVersion === undefined || block === undefined ? {} : { block_number: String(block) }),
  }
  recordWebhookEvent(tx, { project, type, data, nowMs })
}

export class SentChanges {
  readonly #onSettled: OnSettled

  constructor(onSettled: OnSettled) {
    this.#onSettled = onSettled
  }

  /** Answers the send as it is then. */
  make(tx: Tx, before: SentTransaction, change: SentChange, nowMs: number): SentTransaction {
    const after = changeSent(tx, before.sendId, change, nowMs)
    if (after.state === before.state) return after
    const wasMined = before.minedVersion !== undefined && after.minedVersion === undefined
    const kind = wasMined ? 'send.reorged' : KINDS[after.state]
    if (kind !== undefined) record(tx, after, kind, after.reason, nowMs)
    const type = EVENTS[after.state]
    if (type !== undefined) tell(tx, after, type, after.reason, nowMs)
    if (isOver(after) || isOver(before)) this.#onSettled(tx, after)
    return after
  }

  /** Says of the newest version, once, that nothing moves it. Answers the send as it is then. */
  noteStuck(tx: Tx, sent: SentTransaction, why: WhyStuck, nowMs: number): SentTransaction {
    const after = changeSent(tx, sent.sendId, { stuckVersion: sent.versions.at(-1)?.version }, nowMs)
    record(tx, after, 'send.stuck', why, nowMs)
    tell(tx, after, 'transaction.stuck', why, nowMs)
    return after
  }

  /** What the chain says of it. Answers the send as it is then; undefined where nothing is new. */
  observe(tx: Tx, sent: SentTransaction, seen: Observation, nowMs: number): SentTransaction | undefined {
    const change = changeOf(sent, seen)
    return change && this.make(tx, sent, change, nowMs)
  }
}

const changeOf = (sent: SentTransaction, seen: Observation): SentChange | undefined => {
  switch (seen.seen) {
    case 'waiting':
      if (sent.state === 'INCLUDED') return { state: 'BROADCAST', reason: '', ...NOT_MINED }
      return sent.block === undefined ? undefined : NOT_MINED
    case 'displaced': {
      if (seen.depth >= Math.max(sent.confirmations, DISPLACED_DEPTH)) return { state: 'REPLACED', reason: 'NONCE_USED_ELSEWHERE', ...NOT_MINED, block: seen.block }
      const isNews = sent.state === 'INCLUDED' || sent.block !== seen.block
      return isNews ? { state: sent.state === 'INCLUDED' ? 'BROADCAST' : sent.state, ...NOT_MINED, block: seen.block } : undefined
    }
    case 'lapsed':
      return { state: 'EXPIRED', reason: 'BLOCKHASH_EXPIRED', ...NOT_MINED }
    case 'included':
      return includedChange(sent, seen)
  }
}

const includedChange = (sent: SentTransaction, seen: Extract<Observation, { readonly seen: 'included' }>): SentChange | undefined => {
  const { version: minedVersion, block, blockHash, succeeded, depth } = seen
  const place = { minedVersion, block, blockHash, succeeded, depth, stuckVersion: undefined }
  if (depth >= sent.confirmations) return { ...place, ...ending(sent, minedVersion, succeeded) }
  const isSame = sent.state === 'INCLUDED' && sent.blockHash === blockHash && sent.depth === depth && sent.minedVersion === minedVersion
  return isSame ? undefined : { ...place, state: 'INCLUDED', reason: '' }
}

const ending = ({ versions }: SentTransaction, minedVersion: number, succeeded: boolean): SentChange => {
  if (versions.find(({ version }) => version === minedVersion)?.kind === 'CANCEL') return { state: 'REPLACED', reason: 'CANCELLED' }
  return succeeded ? { state: 'CONFIRMED', reason: '' } : { state: 'FAILED', reason: 'REVERTED' }
}
