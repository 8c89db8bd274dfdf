/**
 * Party C's refresh of one wallet (docs/protocol.md §12), in the order that heals: nothing uses the wallet, the link's
 * material that met the present share is replaced (reason erase), then both shares change, and only material of the new
 * link epoch will ever meet them. Shares that never met the present material need no new one.
 *
 * C decides: `commitRefresh` is the decision. Whatever goes wrong after F3 was sent, S is told what the durable record
 * says; when that cannot be read, S is told nothing and asks after the next hello.
 */
import { ed25519Ready } from '../engine/curve/ed25519.ts'
import type { PendingWallets } from '../engine/dkls23/dkg.ts'
import { benign } from '../engine/dkls23/fault.ts'
import { FRAME_TYPES, type FrameType, NO_SID } from '../engine/dkls23/frame.ts'
import { encodeOutcomeAnswers, type OutcomeQuestion } from '../engine/dkls23/outcome.ts'
import { isRefreshable } from '../engine/dkls23/records.ts'
import { abandonRefresh, finishRefreshC, openRefreshC, type RefreshC3, startRefreshC } from '../engine/dkls23/refresh.ts'
import type { InitiatorStore } from './initiator.ts'
import { ERASE_GATHER_MS } from './link.ts'
import type { OpeningDeps } from './operation-deps.ts'
import { PeerRefusal } from './peer-refusal.ts'
import { hexOf } from './presignature-map.ts'
import { wipeShares } from './session-wallets.ts'

type Deps = OpeningDeps & {
  readonly store: InitiatorStore
  /** A set-up with reason erase. Called under the link lock. */
  readonly setUpErasing: () => Promise<void>
  /** The wallet's presignatures are gone, those that a session is making included. */
  readonly wipeWallet: (walletId: Uint8Array) => void
  /** Sends what has no answer, and does not mind when it is lost. */
  readonly tell: (type: FrameType, sid: Uint8Array, lEpoch: number, body: Uint8Array) => Promise<void>
  readonly alert: (what: string, detail: string) => void
}

export type RefreshedShares = {
  /** The new one. */
  readonly wEpoch: number
  /** The link was renewed for it. */
  readonly renewed: boolean
}

/** The link was renewed for an erasure less than a minute ago: erasures share one set-up. Nothing was done. */
export class RefreshNotDue extends Error {
  readonly waitMs: number

  constructor(waitMs: number) {
    super('the next set-up for erasures is not due')
    this.name = 'RefreshNotDue'
    this.waitMs = waitMs
  }
}

/** A wallet that is being refreshed. `closed`: C answered for the outcome of `sid`, which decides nothing any more. */
type Held = { sid: string; closed: boolean }

/** The peer makes no two set-ups within this time. */
const SETUP_SPACING_MS = 5_000
const MAX_ATTEMPTS = 6
const BUSY_RETRY_MS = 150

export class RefreshInitiator {
  readonly #deps: Deps
  readonly #held = new Map<string, Held>()

  constructor(deps: Deps) {
    this.#deps = deps
  }

  /** Nothing else may be begun with the wallet. */
  isHeld(walletId: Uint8Array): boolean {
    return this.#held.size > 0 && this.#held.has(hexOf(walletId))
  }

  /** How long until the wallet can be refreshed: 0, or the time to the link's next set-up for erasures. */
  async waitMs(walletId: Uint8Array): Promise<number> {
    const { link, store } = this.#deps
    const { lEpoch, lastEraseAtMs, eraseDueAtMs, renewedAtMs } = link.record
    if (lEpoch === 0 || (await store.lastUse(walletId)) < lEpoch) return 0
    const after = (atMs: bigint, waitMs: number): number => (atMs === 0n ? 0 : Number(atMs) + waitMs)
    const gatheredMs = eraseDueAtMs === 0n ? after(lastEraseAtMs, ERASE_GATHER_MS) : Number(eraseDueAtMs)
    const dueMs = Math.max(gatheredMs, after(renewedAtMs, SETUP_SPACING_MS))
    return Math.max(0, dueMs - Number(link.nowMs))
  }

  /**
   * Both shares change; the caller lets nothing else use the wallet meanwhile.
   * @throws RefreshNotDue; PeerRefusal; ProtocolFault; PeerUnavailable; what `commitRefresh` refuses. Unless the record
   *   on disk says otherwise, nothing has changed.
   */
  async refresh(walletId: Uint8Array): Promise<RefreshedShares> {
    const key = hexOf(walletId)
    if (this.#held.has(key)) throw benign('busy', 'the wallet is being refreshed')
    const held: Held = { sid: '', closed: false }
    this.#held.set(key, held)
    try {
      await ed25519Ready()
      this.#deps.wipeWallet(walletId)
      return await this.#tryRefresh(walletId, held)
    } finally {
      this.#deps.wipeWallet(walletId)
      this.#held.delete(key)
    }
  }

  /** S has asked about the wallet: what answers it is the record on disk, and a run that is under way ends. */
  close({ walletId, sid }: OutcomeQuestion): void {
    const held = this.#held.get(hexOf(walletId))
    if (held?.sid === hexOf(sid)) held.closed = true
  }

  async #tryRefresh(walletId: Uint8Array, held: Held): Promise<RefreshedShares> {
    const { guarded, align } = this.#deps
    let renewed = false
    for (let attempt = 1; ; attempt++) {
      renewed = (await this.#renewIfUsed(walletId)) || renewed
      try {
        return { wEpoch: await guarded(() => this.#exchangeShares(walletId, held)), renewed }
      } catch (error) {
        if (!(error instanceof PeerRefusal) || attempt >= MAX_ATTEMPTS) throw error
        const { refusal } = error
        if (refusal.code === 'session') await align()
        else if (refusal.code === 'busy') await new Promise((wake) => setTimeout(wake, BUSY_RETRY_MS))
        else throw error
      }
    }
  }

  /** Presign sessions run under the same lock, so what this reads stays true until the wallet is let go. */
  async #renewIfUsed(walletId: Uint8Array): Promise<boolean> {
    const { link, store, guarded, setUpErasing } = this.#deps
    return link.lock.run(() =>
      guarded(async () => {
        link.assertUsable('other')
        const { lEpoch } = link.record
        if (lEpoch === 0 || (await store.lastUse(walletId)) < lEpoch) return false
        const waitMs = await this.waitMs(walletId)
        if (waitMs > 0) throw new RefreshNotDue(waitMs)
        await setUpErasing()
        return true
      }),
    )
  }

  async #exchangeShares(walletId: Uint8Array, held: Held): Promise<number> {
    const { link, store, exchange } = this.#deps
    const { F1, F2, F3, F4, F5 } = FRAME_TYPES
    const { lEpoch } = link.record
    const first = await this.#open(walletId)
    let live: Parameters<typeof abandonRefresh>[0] = first.state
    let question: OutcomeQuestion | undefined
    try {
      const f2 = await exchange(F1, NO_SID, lEpoch, first.body, F2)
      link.assertUsable('other')
      const { state, body } = openRefreshC(first.state, f2)
      live = state
      question = { walletId, wEpoch: first.wEpoch + 1, sid: f2.sid.slice() }
      held.sid = hexOf(f2.sid)
      held.closed = false
      const f4 = await exchange(F3, f2.sid, lEpoch, body, F4)
      link.assertUsable('other')
      if (held.closed) throw benign('session', 'its outcome was answered')
      await this.#decide(state, f4.body)
    } catch (error) {
      abandonRefresh(live)
      if (question === undefined || !(await this.#settle(question))) throw error
    }
    await this.#deps.tell(F5, question.sid, lEpoch, new Uint8Array(0))
    await this.#noteErased(await store.lastUse(walletId))
    return question.wEpoch
  }

  async #decide(state: RefreshC3, body4: Uint8Array): Promise<void> {
    const decided: PendingWallets = finishRefreshC(state, body4)
    try {
      await this.#deps.store.commitRefresh(decided)
    } finally {
      wipeShares(decided.records)
    }
  }

  /** F1 over the wallet's record as it is now. The share in it is overwritten before this returns. */
  async #open(walletId: Uint8Array): Promise<ReturnType<typeof startRefreshC> & { readonly wEpoch: number }> {
    const { link, store, entropy } = this.#deps
    const record = await store.loadWallet(walletId)
    if (record === undefined) throw benign('wallet_state', 'no such wallet')
    try {
      if (!isRefreshable(record.state)) throw benign('wallet_state', 'the wallet is not active')
      const { lEpoch } = link.record
      const lastUse = await store.lastUse(walletId)
      const inputs = {
        link: link.parties,
        entropy,
        // The link was renewed since: older material may never meet the new share.
        ...(lastUse > 0 && lastUse < lEpoch ? { healingEpoch: lEpoch } : {}),
        ...link.hedge,
      }
      return { ...startRefreshC(inputs, [record]), wEpoch: record.wEpoch }
    } finally {
      record.share.fill(0)
    }
  }

  /** Says what the durable record says, and tells S. Answers whether it is the new one. */
  async #settle(question: OutcomeQuestion): Promise<boolean> {
    const { store, tell, link } = this.#deps
    const verdict = await store.settleOutcome(question).catch(() => undefined)
    if (verdict === undefined) return false
    const body = encodeOutcomeAnswers([{ ...question, verdict }])
    await tell(FRAME_TYPES.OUTCOME_ANSWER, NO_SID, link.record.lEpoch, body)
    return verdict === 'COMMITTED'
  }

  /** Not in the order that heals: only if material came into being, and met the share, while it was exchanged. */
  async #noteErased(lastUse: number): Promise<void> {
    const { link } = this.#deps
    if (lastUse > 0 && lastUse >= link.record.lEpoch) await link.markEraseDue()
  }
}
