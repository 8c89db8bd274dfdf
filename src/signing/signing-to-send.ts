import type { RequestId } from '../domain/ids.ts'
import type { SigningFacts, Spend } from '../payload/facts.ts'
import type { Tx } from '../vault/store.ts'

/** What is signed to be sent by the daemon itself: how its one signature is known, recorded and decided on. */
export type SigningToSend = {
  readonly sendId: string
  /** Stands for this one signature in the place of the call's request id, which may stand for several. */
  readonly intentId: RequestId
  /** Runs in the transaction that records the intent, which a throw refuses; again for another presignature. */
  readonly recording: (tx: Tx) => void
  /** What is decided on in the place of what the content says: the content does less. */
  readonly facts?: SigningFacts | undefined
  /** What has been charged on this day, to this caller, for what this takes the place of. */
  readonly charged?: readonly Spend[] | undefined
}

/** Without what was charged for a transaction that this one takes the place of: one of the two comes to pass. */
export const lessCharged = (amount: bigint, token: string, sending: SigningToSend | undefined): bigint => {
  const before = sending?.charged?.find((spend) => spend.token === token)?.amount ?? 0n
  return amount > before ? amount - before : 0n
}
