/** The daemon's vault as party C's thread sees it. Runs on the main thread, which owns the connection. */
import type { Clock } from '../domain/clock.ts'
import { assert } from '../domain/failure.ts'
import { accessIdFromBytes, walletIdFromBytes } from '../domain/ids.ts'
import { verdictOn } from '../engine/dkls23/two-phase-switch.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { getImportedAccess, setImportedState } from '../vault/imported-accesses.ts'
import {
  dropPendingShare,
  getShare,
  raiseLastUsedEpoch,
  savePendingShare,
  setShareState,
} from '../vault/wallet-shares.ts'
import { getWallet, setWalletState } from '../vault/wallets.ts'
import type { Tx } from '../vault/store.ts'
import type { LostMaterial } from './cosigner-links.ts'
import { serveLinks } from './link-rows.ts'
import { hexOf } from './presignature-map.ts'
import type { RefreshOrders } from './refresh-orders.ts'
import type { SignerHostCalls } from './signer.ts'

export type SignerHostEvents = {
  /** A wallet was suspended or quarantined by a party. */
  readonly walletStopped: (walletId: Uint8Array, why: string) => void
}

type Events = SignerHostEvents & {
  /** The presignatures of a wallet are gone. */
  readonly walletWiped: (walletId: Uint8Array) => void
  /** All of a shard. */
  readonly wiped: (shard: number) => void
  readonly lost: (args: LostMaterial) => Promise<void>
  readonly alert: (what: string, detail: string) => void
}

export const createSignerHost = (
  vault: DaemonVault,
  clock: Clock,
  orders: RefreshOrders,
  events: Events,
): SignerHostCalls => {
  const nowMs = (): number => Math.trunc(clock.nowMs())
  return {
    ...serveLinks(vault, nowMs),
    loadShare: (walletId) => getShare(vault.read, walletId),
    savePending: ({ sid, linkId, shares }) =>
      vault.commit((tx) => {
        for (const share of shares) savePendingShare(tx, { share, linkId, sid, timeMs: nowMs() })
      }),
    dropPending: async (walletId) => {
      const dropped = await vault.commit((tx) => dropPendingShare(tx, walletId, nowMs()))
      if (dropped) vault.eraseDeleted()
    },
    setWalletState: async ({ walletId, state, why }) => {
      assert(state === 'SUSPENDED' || state === 'QUARANTINED', 'a party only ever stops a wallet')
      await vault.commit((tx) => suspendWallet(tx, walletId, state, why, nowMs()))
      events.walletWiped(walletId)
      events.walletStopped(walletId, why)
    },
    noteUse: ({ walletIds, lEpoch }) => vault.commit((tx) => raiseLastUsedEpoch(tx, walletIds, lEpoch)),
    settleOutcome: ({ walletId, wEpoch, sid }) =>
      vault.commit((tx) => {
        if (verdictOn({ wEpoch }, getShare(tx, walletId)?.wEpoch) === 'COMMITTED') return 'COMMITTED'
        orders.abort(walletId, sid)
        const pending = getShare(tx, walletId, 'pending')
        if (pending?.pendingSid !== undefined && hexOf(pending.pendingSid) === hexOf(sid)) {
          dropPendingShare(tx, walletId, nowMs())
        }
        return 'ABORTED'
      }),
    commitRefresh: (decided) => orders.commit(vault, decided, nowMs()),
    commitFork: (decided) => orders.forks.commit(vault, decided, nowMs()),
    alert: ({ what, detail }) => events.alert(what, detail),
    wiped: ({ shard }) => events.wiped(shard),
    lost: (args) => events.lost(args),
  }
}

/** The wallet, or the access that was delegated here, signs nothing until an operator has looked; one audit row says why. */
export const suspendWallet = (
  tx: Tx,
  walletId: Uint8Array,
  state: 'SUSPENDED' | 'QUARANTINED',
  why: string,
  timeMs: number,
): void => {
  const id = walletIdFromBytes(walletId)
  setShareState(tx, walletId, state, timeMs)
  const said = { timeMs, actor: { kind: 'daemon', id: '' }, reason: why } as const
  if (getImportedAccess(tx, walletId) !== undefined) {
    const { project } = setImportedState(tx, walletId, 'SUSPENDED', timeMs)
    const subject = { type: 'delegated_access', id: accessIdFromBytes(walletId) }
    return void appendAudit(tx, { ...said, kind: 'delegated_access.suspended', project, subject })
  }
  const wallet = getWallet(tx, id)
  if (wallet?.state === 'ACTIVE') setWalletState(tx, id, 'SUSPENDED')
  appendAudit(tx, { ...said, kind: 'wallet.suspended', project: wallet?.project, subject: { type: 'wallet', id } })
}
