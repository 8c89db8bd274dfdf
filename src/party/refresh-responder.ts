/**
 * The answering side of a refresh (docs/protocol.md §12): F1 → F2, F3 → F4 once the new records are durable as
 * PENDING. What becomes of them is C's to say (undecided-wallets.ts).
 */
import { ed25519Ready } from '../engine/curve/ed25519.ts'
import { benign } from '../engine/dkls23/fault.ts'
import type { Frame } from '../engine/dkls23/frame.ts'
import type { SlotName } from '../engine/dkls23/presign-plan.ts'
import { isRefreshable, type WalletRecord } from '../engine/dkls23/records.ts'
import {
  abandonRefresh,
  answerRefreshS,
  finishRefreshS,
  readRefreshNames,
  type RefreshS2,
} from '../engine/dkls23/refresh.ts'
import { type OpenedSession, OpenSessions } from './open-sessions.ts'
import type { AnsweringDeps } from './operation-deps.ts'
import { hexOf } from './presignature-map.ts'
import { loadWallets, wipeShares } from './session-wallets.ts'
import type { UndecidedWallets } from './undecided-wallets.ts'

type Deps = AnsweringDeps & {
  /** Nothing of the wallet's present epoch may be used any more: presignatures, sessions, what is known of it. */
  readonly wipeWallet: (walletId: Uint8Array) => void
  readonly undecided: UndecidedWallets
}

export class RefreshResponder {
  readonly #deps: Deps
  readonly sessions: OpenSessions<RefreshS2>

  constructor(deps: Deps) {
    this.#deps = deps
    this.sessions = new OpenSessions<RefreshS2>({ ...deps, abandon: abandonRefresh, what: 'refresh' })
  }

  /** F1 → F2. A session that C began before for one of the wallets is over. */
  async start(frame: Frame): Promise<OpenedSession> {
    const { link, undecided } = this.#deps
    link.assertAt(frame.lEpoch)
    const names = readRefreshNames(frame).map(({ walletId, wEpoch }) => ({ walletId: walletId.slice(), wEpoch }))
    if ((await undecided.heed(names)).size > 0) throw benign('busy', 'an earlier refresh is not decided')
    await ed25519Ready()
    const loaded = new Map<string, WalletRecord>()
    try {
      await this.#load(names, loaded)
      link.assertAt(frame.lEpoch)
      this.#makeRoom(names)
      const inputs = await this.#inputs(names)
      const { state, sid, body } = answerRefreshS(inputs, frame, [...loaded.values()])
      this.sessions.add(state, frame.lEpoch)
      return { sid, body }
    } finally {
      wipeShares(loaded.values())
    }
  }

  /** F3 → F4, once the PENDING records are durable. From here on nothing is done with the epoch before. */
  async finish(frame: Frame): Promise<Uint8Array> {
    const { link, store, wipeWallet } = this.#deps
    const state = this.sessions.take(frame)
    const walletIds = state.records.map(({ walletId }) => walletId)
    const { pending, body } = finishRefreshS(state, frame.body)
    try {
      walletIds.forEach(wipeWallet)
      await store.savePending(pending)
    } finally {
      wipeShares(pending.records)
    }
    // What read the old record while the new one was being written forgets it again.
    walletIds.forEach(wipeWallet)
    link.assertUsable('other')
    return body
  }

  /** The records that may be refreshed. */
  async #load(names: readonly SlotName[], loaded: Map<string, WalletRecord>): Promise<void> {
    const { store, alert, undecided } = this.#deps
    await loadWallets(store, names, loaded, alert)
    for (const { walletId, wEpoch } of names) {
      const key = hexOf(walletId)
      const record = loaded.get(key)
      if (record === undefined) continue
      if (record.wEpoch < wEpoch && record.state === 'ACTIVE') undecided.noteBehind(walletId)
      if (isRefreshable(record.state) && (await store.mayRefresh(walletId))) continue
      record.share.fill(0)
      loaded.delete(key)
    }
  }

  /** The link was renewed since these shares were used: the refresh heals, and older material may not meet them. */
  async #inputs(names: readonly SlotName[]): Promise<Parameters<typeof answerRefreshS>[0]> {
    const { link, entropy, store } = this.#deps
    const { lEpoch } = link.record
    const lastUses = await Promise.all(names.map(({ walletId }) => store.lastUse(walletId)))
    const heals = lastUses.some((lastUse) => lastUse > 0 && lastUse < lEpoch)
    return { link: link.parties, entropy, ...(heals ? { healingEpoch: lEpoch } : {}), ...link.hedge }
  }

  #makeRoom(names: readonly SlotName[]): void {
    const named = new Set(names.map(({ walletId }) => hexOf(walletId)))
    this.sessions.dropWhere(({ records }) => records.some(({ walletId }) => named.has(hexOf(walletId))))
    this.sessions.assertRoom()
  }
}
