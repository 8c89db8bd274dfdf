/** What others ask the sender for, and what they hear. */
import type { Call } from '../domain/call.ts'
import type { Permission } from '../policy/permissions.ts'
import type { SentPurpose, SentTransaction } from '../vault/sent-transactions.ts'
import type { Tx } from '../vault/store.ts'
import type { SendContent } from './chain-family.ts'

export type SendRequest = {
  /** A wallet id, an address or a user id; of the kind of key that the content takes. */
  readonly walletRef: string
  readonly network: string
  readonly content: SendContent
  /** How deep it must be to count; the setting `chain_confirmations` where it is absent. */
  readonly confirmations?: number | undefined
  readonly purpose: SentPurpose
  /** What a SPEND belongs to. */
  readonly subject?: string | undefined
  /** What the caller must hold in place of `wallet:send`: the daemon has made the content itself. */
  readonly permission?: Permission | undefined
  /**
   * Runs in the transaction that records the intent and leases the nonce; a throw refuses the send, and nothing of it is
   * kept.
   */
  readonly inTransaction?: ((tx: Tx, sendId: string) => void) | undefined
}

export type Sent = {
  readonly sendId: string
  /** What it is now, then every change, until it is over or `signal` aborts. */
  readonly statuses: (signal: AbortSignal) => AsyncIterable<SentTransaction>
}

/**
 * Leases, signs and broadcasts, under everything that a signature passes; answers when it is signed and the broadcast has
 * begun. From then on it is followed whoever listens, also after a restart. Under a request id of the call that was used for
 * a send before, answers that send.
 */
export type Send = (call: Call, request: SendRequest) => Promise<Sent>

/** Called in the transaction in which a send is over: CONFIRMED, REPLACED, FAILED or EXPIRED; or CONFIRMED no more. */
export type OnSettled = (tx: Tx, sent: SentTransaction) => void
