/** Changing both shares of a wallet under what stops its caller: the fences hold until it is decided, and so does the deadline. */
import type { Call } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import { walletIdToBytes } from '../domain/ids.ts'
import type { SigningEngine } from '../party/signing-engine.ts'
import { fencesOf } from '../signing/caller-stops.ts'
import type { Fences, Passage } from '../signing/fences.ts'
import type { Tx } from '../vault/store.ts'
import type { Wallet } from '../vault/wallets.ts'

export type ChangeNeeds = {
  readonly engine: Pick<SigningEngine, 'refreshShares'>
  readonly fences: Fences
  readonly clock: Clock
}

/**
 * `record` runs in the transaction that decides the change; it throws what refuses it. Refuses, and has changed nothing:
 * FROZEN, DEADLINE_EXCEEDED, and as `record` and the engine's `refreshShares` do.
 */
export const changeShares = async (
  { engine, fences, clock }: ChangeNeeds,
  call: Call,
  wallet: Wallet,
  record: (tx: Tx, shareEpoch: number) => void,
): Promise<void> => {
  const behind = fencesOf(call, wallet)
  let passage: Passage | undefined
  const during = async <T>(change: () => Promise<T>): Promise<T> => {
    const entered = fences.enter(behind)
    passage = entered
    try {
      return await change()
    } finally {
      entered.leave()
    }
  }
  const decide = (tx: Tx, shareEpoch: number): void => {
    const raised = fences.blocking(behind)
    if (raised !== undefined) throw failure('FROZEN', raised)
    passage?.check()
    if (call.signal.aborted || clock.nowMs() >= call.deadlineMs) throw failure('DEADLINE_EXCEEDED', {})
    record(tx, shareEpoch)
  }
  const { signal, deadlineMs } = call
  const pooled = { walletId: walletIdToBytes(wallet.walletId), keyType: wallet.keyType }
  await engine.refreshShares(pooled, { order: { record: decide }, during, signal, deadlineMs })
}
