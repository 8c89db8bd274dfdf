/**
 * Party C's Ed25519 work over one link (docs/protocol.md §18): presignatures by one exchange, signatures by
 * another. It needs no link material; the link's state, strikes and epoch apply.
 */
import type { Clock } from '../domain/clock.ts'
import { ed25519Ready } from '../engine/curve/ed25519.ts'
import { benign, ProtocolFault } from '../engine/dkls23/fault.ts'
import { FRAME_TYPES, NO_SID } from '../engine/dkls23/frame.ts'
import type { WalletRecord } from '../engine/dkls23/records.ts'
import { ROLE_C } from '../engine/dkls23/suite.ts'
import {
  abandonEdPresign,
  edSlotOf,
  finishEdPresignC,
  startEdPresignC,
  wipeEdPresignatures,
} from '../engine/frost/presign.ts'
import { type EdPresignature, wipeEdPresignature } from '../engine/frost/presignature.ts'
import { finishEdSign, startEdSign } from '../engine/frost/sign.ts'
import type { EdSignature } from '../engine/frost/sign-messages.ts'
import { Lock } from './lock.ts'
import type { OpeningDeps } from './operation-deps.ts'
import { PeerRefusal } from './peer-refusal.ts'
import { hexOf, PRESIGNATURE_TTL_OF_C_MS, PresignatureMap } from './presignature-map.ts'
import { assertSendable, SIGN_TIMEOUT_MS } from './sign-request.ts'
import { loadWallets, StopWatch, wipeShares } from './session-wallets.ts'

const MAX_ATTEMPTS = 4

export type EdInitiatorDeps = OpeningDeps & {
  readonly clock: Clock
  /** The wallet is being refreshed. */
  readonly isHeld: (walletId: Uint8Array) => boolean
  readonly alert: (what: string, detail: string) => void
}

/** What the process that hands out presignatures may know of one. */
export type ReadyEdPresignature = Pick<EdPresignature, 'presigId' | 'walletId' | 'wEpoch'> & {
  /** C's D, 32 bytes: unique per wallet in the intent rows, as R is for ECDSA. */
  readonly noncePoint: Uint8Array
  readonly expiresAtMs: number
}

export type EdSignJob = {
  readonly walletId: Uint8Array
  readonly presigId: Uint8Array
  readonly reqId: Uint8Array
  /** m, any length. */
  readonly message: Uint8Array
  readonly payload: Uint8Array
}

type Opened = {
  readonly walletIds: readonly Uint8Array[]
  readonly lEpoch: number
  /** None when no wallet may presign. */
  readonly first?: ReturnType<typeof startEdPresignC>
}

export class EdInitiator {
  readonly #deps: EdInitiatorDeps
  readonly #presignatures: PresignatureMap<EdPresignature>
  readonly #lock = new Lock()
  readonly #watch = new StopWatch()

  constructor(deps: EdInitiatorDeps) {
    this.#deps = deps
    this.#presignatures = new PresignatureMap(() => deps.clock.nowMs(), wipeEdPresignature)
  }

  get presignatureCount(): number {
    return this.#presignatures.size
  }

  wipeAll(): void {
    this.#presignatures.wipeAll()
  }

  wipeWallet(walletId: Uint8Array): void {
    this.#presignatures.wipeWallet(walletId)
    this.#watch.stop(walletId)
  }

  has(presigId: Uint8Array): boolean {
    return this.#presignatures.has(presigId)
  }

  discard(presigId: Uint8Array): void {
    this.#presignatures.discard(presigId)
  }

  /**
   * One presign session over these wallets, one slot an entry, up to 64. Slots that either side refuses are left
   * out.
   */
  async presign(walletIds: readonly Uint8Array[]): Promise<readonly ReadyEdPresignature[]> {
    await ed25519Ready()
    return this.#lock.run(() => this.#presignLocked(walletIds))
  }

  /**
   * Signs with one presignature, which is gone whatever happens. The caller's intent row is durable. Takes no
   * lock.
   * @returns R ‖ z, verified.
   * @throws PeerUnavailable: the outcome is unknown; PeerRefusal; ProtocolFault.
   */
  async sign(job: EdSignJob): Promise<EdSignature> {
    const presignature = this.#presignatures.take(job.presigId)
    if (presignature === undefined) throw benign('unknown_presig', 'presignature unknown')
    try {
      return await this.#deps.guarded(() => this.#signWith(presignature, job))
    } finally {
      wipeEdPresignature(presignature)
    }
  }

  async #presignLocked(walletIds: readonly Uint8Array[]): Promise<readonly ReadyEdPresignature[]> {
    let wanted = walletIds
    for (let attempt = 1; ; attempt++) {
      wanted = wanted.filter((walletId) => !this.#deps.isHeld(walletId))
      if (wanted.length === 0) return []
      try {
        return await this.#deps.guarded(() =>
          this.#watch.during(async (stopped) => {
            const opened = await this.#open(wanted)
            wanted = opened.walletIds
            return wanted.length === 0 ? [] : await this.#run(opened, stopped)
          }),
        )
      } catch (error) {
        if (!(error instanceof PeerRefusal) || attempt >= MAX_ATTEMPTS) throw error
        const { refusal } = error
        if (refusal.code === 'session') await this.#deps.align()
        else if (refusal.code !== 'plan_refused') throw error
        else wanted = wanted.filter((_, slot) => !refusal.slots.includes(slot))
      }
    }
  }

  /** E1 over the wallets that may presign now. Their shares are overwritten before this returns. */
  async #open(walletIds: readonly Uint8Array[]): Promise<Opened> {
    const { link, store, entropy, alert } = this.#deps
    link.assertUsable('other')
    const { lEpoch } = link.record
    const loaded = new Map<string, WalletRecord>()
    try {
      await loadWallets(store, walletIds.map((walletId) => ({ walletId })), loaded, alert)
      const slots = walletIds.flatMap((walletId) => {
        const record = loaded.get(hexOf(walletId))
        const slot = record === undefined ? undefined : edSlotOf(link.parties, ROLE_C, lEpoch, record)
        return slot === undefined ? [] : [slot]
      })
      if (slots.length < walletIds.length) alert('presign', `${walletIds.length - slots.length} slots refused`)
      if (slots.length === 0) return { walletIds: [], lEpoch }
      const inputs = { link: link.parties, entropy, lEpoch, ...link.hedge }
      return { walletIds: slots.map(({ walletId }) => walletId), lEpoch, first: startEdPresignC(inputs, slots) }
    } finally {
      wipeShares(loaded.values())
    }
  }

  async #run({ lEpoch, first }: Opened, stopped: ReadonlySet<string>): Promise<readonly ReadyEdPresignature[]> {
    if (first === undefined) return []
    try {
      const { E1, E2 } = FRAME_TYPES
      const e2 = await this.#deps.exchange(E1, NO_SID, lEpoch, first.body, E2)
      return this.#keep(finishEdPresignC(first.state, e2).presignatures, stopped)
    } catch (error) {
      abandonEdPresign(first.state)
      throw error
    }
  }

  #keep(presignatures: readonly EdPresignature[], stopped: ReadonlySet<string>): readonly ReadyEdPresignature[] {
    const { link, clock } = this.#deps
    try {
      link.assertUsable('other')
    } catch (error) {
      wipeEdPresignatures(presignatures)
      throw error
    }
    const expiresAtMs = clock.nowMs() + PRESIGNATURE_TTL_OF_C_MS
    this.#presignatures.expire()
    return presignatures.flatMap((presignature) => {
      const { presigId, walletId, wEpoch, commitments } = presignature
      if (stopped.has(hexOf(walletId))) {
        wipeEdPresignature(presignature)
        return []
      }
      this.#presignatures.add(presignature, expiresAtMs)
      return [{ presigId, walletId, wEpoch, noncePoint: commitments.c.hiding, expiresAtMs }]
    })
  }

  async #signWith(presignature: EdPresignature, job: EdSignJob): Promise<EdSignature> {
    const { link, exchange } = this.#deps
    link.assertUsable('sign')
    assertSendable(job)
    const { state, body } = await this.#request(presignature, job)
    const { lEpoch, sid } = presignature
    const { ED_SIGN_REQUEST, ED_SIGN_RESPONSE } = FRAME_TYPES
    try {
      const answer = await exchange(ED_SIGN_REQUEST, NO_SID, lEpoch, body, ED_SIGN_RESPONSE, SIGN_TIMEOUT_MS)
      return finishEdSign(state, answer.body)
    } catch (error) {
      const unknown = error instanceof PeerRefusal && error.refusal.code === 'unknown_presig'
      if (unknown) this.#presignatures.wipeSession(sid)
      const invalid = error instanceof ProtocolFault && error.consequence === 'suspend-wallet'
      if (invalid) await this.#suspend(job.walletId, sid)
      throw error
    }
  }

  /** Opens the share for the time of one computation. */
  async #request(presignature: EdPresignature, job: EdSignJob): Promise<ReturnType<typeof startEdSign>> {
    const { link, store } = this.#deps
    return this.#watch.during(async (stopped) => {
      const record = await store.loadWallet(job.walletId)
      if (record === undefined) throw benign('wallet_state', 'no such wallet')
      const { share, ...wallet } = record
      try {
        const active = record.state === 'ACTIVE' && !stopped.has(hexOf(job.walletId))
        if (!active) throw benign('wallet_state', 'the wallet is not active')
        // The link may have been burned while the record was read.
        link.assertUsable('sign')
        return startEdSign({ ...job, link: link.parties, wallet, share }, presignature)
      } finally {
        share.fill(0)
      }
    })
  }

  async #suspend(walletId: Uint8Array, sid: Uint8Array): Promise<void> {
    this.wipeWallet(walletId)
    this.#presignatures.wipeSession(sid)
    await this.#deps.store.setWalletState(walletId, 'SUSPENDED', 'final signature invalid')
    this.#deps.alert('wallet_suspended', `wallet ${hexOf(walletId)}: final signature invalid`)
  }
}
