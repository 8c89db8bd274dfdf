/**
 * The daemon's vault as the thread of delegates' links sees it. Runs on the main thread, which owns the connection and
 * decides what is signed; that thread only ever reaches rows of its own links.
 */
import type { Clock } from '../domain/clock.ts'
import { assert, type Failure, isFailure } from '../domain/failure.ts'
import { isNextOf } from '../engine/dkls23/records.ts'
import type { AuditHead } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { PresignatureReused } from '../vault/intents.ts'
import type { SealedShare } from '../vault/sealed-record.ts'
import type { Reader, Tx } from '../vault/store.ts'
import {
  activateShare,
  dropPendingShare,
  getShare,
  listPendingShares,
  raiseLastUsedEpoch,
  savePendingShare,
} from '../vault/wallet-shares.ts'
import { Paces } from './delegate-pace.ts'
import type { DelegateHostCalls, RequestOf } from './delegate-store.ts'
import { serveLinks } from './link-rows.ts'
import type { CosignerIntent } from './party-store.ts'
import { PortFailure } from './port-calls.ts'
import { hexOf } from './presignature-map.ts'

/** What is decided about delegated wallets, by the same code as every signature. */
export type DelegatedDecisions = {
  /** Whether the wallet's shares may be replaced: its access is open, and nothing is frozen. */
  readonly mayRefresh: (reader: Reader, walletId: Uint8Array) => boolean
  /** As `begin` would decide; records and charges nothing. Throws the Failure that refuses. */
  readonly requireAdmitted: (walletId: Uint8Array, payload: Uint8Array) => void
  /**
   * A request that `begin` is likely to be asked for next: what it says is read while party S looks at it. Decides nothing.
   * Answers how to forget it.
   */
  readonly foresee: (request: RequestOf) => () => void
  /** Decides, charges and records. Rejects with the Failure that refuses, or with PresignatureReused. */
  readonly begin: (intent: CosignerIntent) => Promise<AuditHead>
  /** How it ended; joins a later commit. */
  readonly finish: (intent: CosignerIntent, sequence: bigint, result: Uint8Array | { readonly failed: string }) => void
  /** In the transaction that made its new share the present one. */
  readonly activated: (tx: Tx, walletId: Uint8Array, nowMs: number) => void
  /** A party stopped it. */
  readonly stopped: (tx: Tx, walletId: Uint8Array, state: 'SUSPENDED' | 'QUARANTINED', why: string, nowMs: number) => void
}

/** What came of the request in a frame beside the frame that answers it. */
export type SignOutcome = { readonly head: AuditHead } | { readonly refused: Failure }

type Events = {
  readonly outcome: (request: RequestOf, outcome: SignOutcome) => void
  readonly question: DelegateHostCalls['question']
  readonly alert: (what: string, detail: string) => void
}

/** Of one wallet, tries included. Each empties the log. */
const MAX_REFRESHES = 20
const REFRESHES_WITHIN_MS = 600_000
/** What delegates make an operator read. */
const MAX_ALERTS = 100
const ALERTS_WITHIN_MS = 60_000

const refuseState = (): PortFailure => new PortFailure('WALLET_STATE')

export const createDelegateHost = (
  vault: DaemonVault,
  clock: Clock,
  decisions: DelegatedDecisions,
  events: Events,
): DelegateHostCalls => {
  const nowMs = (): number => Math.trunc(clock.nowMs())
  const running = new Map<string, bigint>()
  const refreshes = new Paces(clock, MAX_REFRESHES, REFRESHES_WITHIN_MS)
  const alerts = new Paces(clock, MAX_ALERTS, ALERTS_WITHIN_MS)
  return {
    ...serveLinks(vault, nowMs),
    loadShare: ({ linkId, walletId, slot }) => {
      const share = getShare(vault.read, walletId, slot)
      return share !== undefined && hexOf(share.linkId) === hexOf(linkId) ? share : undefined
    },
    pendingOf: ({ linkId }) =>
      listPendingShares(vault.read).flatMap(({ walletId, linkId: own, wEpoch, pendingSid }) =>
        pendingSid === undefined || hexOf(own) !== hexOf(linkId) ? [] : [{ walletId, linkId, wEpoch, sid: pendingSid }],
      ),
    savePending: ({ linkId, sid, shares }) =>
      vault.commit((tx) => {
        for (const share of shares) {
          requireRefreshable(tx, decisions, linkId, share)
          savePendingShare(tx, { share, linkId, sid, timeMs: nowMs() })
        }
      }),
    dropPending: async ({ walletId }) => {
      const dropped = await vault.commit((tx) => dropPendingShare(tx, walletId, nowMs()))
      if (dropped) vault.eraseDeleted()
    },
    activate: async ({ linkId, share }) => {
      const isDone = await vault.commit((tx) => {
        const { walletId } = share
        // Ended, or decided by another message, meanwhile.
        if (getShare(tx, walletId, 'pending')?.wEpoch !== share.wEpoch) return false
        const before = getShare(tx, walletId)?.state
        const state = before === undefined || before === 'FORKED' ? 'ACTIVE' : before
        activateShare(tx, { share, linkId, state, timeMs: nowMs() })
        decisions.activated(tx, walletId, nowMs())
        return true
      })
      if (isDone) vault.eraseDeleted()
    },
    setWalletState: async ({ walletId, state, why }) => {
      assert(state === 'SUSPENDED' || state === 'QUARANTINED', 'a party only ever stops a wallet')
      await vault.commit((tx) => decisions.stopped(tx, walletId, state, why, nowMs()))
    },
    noteUse: ({ walletIds, lEpoch }) => vault.commit((tx) => raiseLastUsedEpoch(tx, walletIds, lEpoch)),
    mayRefresh: ({ walletId }) => decisions.mayRefresh(vault.read, walletId) && refreshes.admit(hexOf(walletId)),
    admits: (request) => {
      try {
        decisions.requireAdmitted(request.walletId, request.payload)
        return true
      } catch (error) {
        if (!isFailure(error)) throw error
        events.outcome(request, { refused: error })
        return false
      }
    },
    commitIntent: async (intent) => {
      try {
        const head = await decisions.begin(intent)
        running.set(hexOf(intent.presigId), head.sequence)
        events.outcome(intent, { head })
        return 'committed'
      } catch (error) {
        if (error instanceof PresignatureReused) return 'duplicate'
        if (!isFailure(error)) throw error
        events.outcome(intent, { refused: error })
        return 'denied'
      }
    },
    completeIntent: ({ intent, response, failed }) => {
      const key = hexOf(intent.presigId)
      const sequence = running.get(key)
      running.delete(key)
      if (sequence !== undefined) decisions.finish(intent, sequence, response ?? { failed: failed ?? 'internal' })
    },
    question: events.question,
    alert: ({ what, detail }) => {
      // Each kind by itself: what anybody can cause as often as they like hides no burn.
      if (alerts.admit(what)) events.alert(what, detail)
    },
  }
}

/** Of this link, one epoch behind, and nothing undecided beside it. */
const requireRefreshable = (
  tx: Reader,
  decisions: DelegatedDecisions,
  linkId: Uint8Array,
  { walletId, wEpoch }: SealedShare,
): void => {
  const current = getShare(tx, walletId)
  const isNext = isNextOf(current, wEpoch) && hexOf(current.linkId) === hexOf(linkId)
  const isFree = getShare(tx, walletId, 'pending') === undefined
  if (!isNext || !isFree || !decisions.mayRefresh(tx, walletId)) throw refuseState()
}
