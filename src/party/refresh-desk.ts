/**
 * Refreshes as the daemon's main thread runs them: waits for the link's next set-up for erasures when the share needs
 * one, keeps the wallet's signatures apart, gives its presignatures up, and lets party C's thread do the rest.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import type { PooledWallet } from './key-pools.ts'
import type { JoinedParties } from './open-parties.ts'
import { translated } from './party-failure.ts'
import { hexOf } from './presignature-map.ts'
import type { RefreshOrder, RefreshOrders } from './refresh-orders.ts'
import type { WalletGates } from './wallet-gates.ts'

export type RefreshTurn = {
  readonly order: RefreshOrder
  /** Around the change itself, not around the time that is waited for it. */
  readonly during: (change: () => Promise<void>) => Promise<void>
  readonly signal: AbortSignal
  /** Unix milliseconds. */
  readonly deadlineMs: number
}

type Needs = {
  readonly vault: DaemonVault
  readonly clock: Clock
  readonly gates: WalletGates
  readonly orders: RefreshOrders
}

/** A set-up takes a tenth of a second, and starts five seconds after the one before at the earliest. */
const REFRESH_TIMEOUT_MS = 25_000
/** What has to be left of the caller's time when the waiting ends. */
const WORK_MS = 1_000
const CALL_TIMEOUT_MS = 10_000

/**
 * Resolves when both shares have changed and the daemon's old one is erased for good. Refuses, nothing changed:
 * REFRESH_NOT_DUE, OVERLOADED, DEADLINE_EXCEEDED, COSIGNER_UNAVAILABLE, COSIGNER_REFUSED, LINK_BURNED, LINK_SUSPENDED,
 * and what the order refuses. AUDIT_UNAVAILABLE also when the change is made and its old pages cannot be overwritten.
 */
export const runRefresh = async (
  { vault, clock, gates, orders }: Needs,
  { signer, pools, shardOf }: Pick<JoinedParties, 'signer' | 'pools' | 'shardOf'>,
  { walletId, keyType }: PooledWallet,
  turn: RefreshTurn,
): Promise<void> => {
  const at = { shard: shardOf(walletId), walletId }
  const waitMs = (): Promise<number> =>
    translated(signer.call('refreshWait', at, { timeoutMs: CALL_TIMEOUT_MS }))
  await waitUntilDue(waitMs, turn, clock)
  const wasWarm = pools.wallets().some((pooled) => hexOf(pooled) === hexOf(walletId))
  const change = async (): Promise<void> => {
    pools.forget(walletId)
    await orders.during(walletId, turn.order, async () => {
      await translated(signer.call('refresh', at, { timeoutMs: REFRESH_TIMEOUT_MS }))
    })
    vault.eraseDeleted()
  }
  await gates.hold(walletId, turn.signal, () => turn.during(change))
  if (wasWarm) pools.of(keyType).keepWarm(walletId)
}

const waitUntilDue = async (waitMs: () => Promise<number>, turn: RefreshTurn, clock: Clock): Promise<void> => {
  for (;;) {
    const dueMs = await waitMs()
    if (dueMs === 0) return
    if (clock.nowMs() + dueMs + WORK_MS > turn.deadlineMs) throw failure('REFRESH_NOT_DUE', { retryAfterMs: dueMs })
    await sleep(dueMs + 1, undefined, { signal: turn.signal }).catch(() => {
      throw failure('DEADLINE_EXCEEDED', {})
    })
  }
}
