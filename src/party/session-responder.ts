/**
 * The answering side of set-ups and presign sessions over one link (docs/protocol.md §4.2, §9): one at a time, under the
 * link lock. Its faults are the responder's to punish.
 */
import type { Clock } from '../domain/clock.ts'
import { benign, ProtocolFault, violation } from '../engine/dkls23/fault.ts'
import { assertSender, encodeFrame, type Frame, FRAME_TYPES, type FrameType } from '../engine/dkls23/frame.ts'
import { LINK_REASONS } from '../engine/dkls23/link-setup.ts'
import { decodeP1, presignSlotOf, type SlotName } from '../engine/dkls23/presign-plan.ts'
import { type Presignature, wipePresignature } from '../engine/dkls23/presignature.ts'
import type { WalletRecord } from '../engine/dkls23/records.ts'
import { ROLE_C, ROLE_S } from '../engine/dkls23/suite.ts'
import { u32 } from '../engine/hash/encoding.ts'
import { CryptoWorkerGone } from './crypto-thread.ts'
import type { Link } from './link.ts'
import { type Begun, LiveOperation } from './live-operation.ts'
import type { CosignerStore } from './party-store.ts'
import { hexOf, PRESIGNATURE_TTL_MS, type PresignatureMap } from './presignature-map.ts'
import type { HeldMaterial, OpenStep, SessionsOfS } from './session-engine.ts'
import { wipeShares } from './session-wallets.ts'
import type { UndecidedWallets } from './undecided-wallets.ts'

type Deps = {
  readonly link: Link
  readonly store: CosignerStore
  readonly clock: Clock
  readonly sessions: SessionsOfS
  readonly presignatures: PresignatureMap<Presignature>
  /** The sid is of a key generation or a refresh: a frame of another kind in it is a violation. */
  readonly isWalletOperation: (sid: Uint8Array) => boolean
  readonly undecided: UndecidedWallets
  readonly alert: (what: string, detail: string) => void
}

const SETUP_SPACING_MS = 5_000
const SETUPS_PER_HOUR = 120
const HOUR_MS = 3_600_000
/** Where L1 says why. */
const L1_REASON_AT = 36
const NO_WALLETS: ReadonlySet<string> = new Set()

const abandon = (step: OpenStep): void => step.abandon()
const wipeAll = ({ presignatures }: { readonly presignatures: readonly Presignature[] }): void => {
  for (const presignature of presignatures) wipePresignature(presignature)
}

export class SessionResponder {
  readonly #deps: Deps
  readonly #live: LiveOperation
  /** Wallets that were stopped while the records of a session were being read. */
  #stopped: Set<string> | undefined
  #setupTimesMs: number[] = []

  constructor(deps: Deps) {
    this.#deps = deps
    this.#live = new LiveOperation(deps.clock, (material) => deps.sessions.wipeMaterial(material))
  }

  /** The sid is of the session in flight. */
  has(sid: Uint8Array): boolean {
    return this.#live.find(sid) !== undefined
  }

  /** Ends the session in flight. */
  drop(): void {
    this.#live.drop()
  }

  dropOf(sid: Uint8Array): void {
    this.#live.dropOf(sid)
  }

  /** Ends a session over material of this epoch or before. */
  dropUpTo(lEpoch: number): void {
    this.#live.dropUpTo(lEpoch)
  }

  /** Nothing more is made for the wallet, named in hexadecimal: a session that holds it ends. */
  dropWallet(walletKey: string): void {
    this.#stopped?.add(walletKey)
    this.#live.dropWallet(walletKey)
  }

  /** The frame that answers L1, L3, L5, P1 or P3. Under the link lock. @throws ProtocolFault. */
  async answer(frame: Frame): Promise<Uint8Array> {
    try {
      if (frame.type === FRAME_TYPES.L1) return await this.#startSetup(frame)
      if (frame.type === FRAME_TYPES.P1) return await this.#startPresign(frame)
      return await this.#continue(frame)
    } catch (error) {
      if (!(error instanceof CryptoWorkerGone)) throw error
      // Its material is gone with it; a set-up that finds no worker yet is to be tried again.
      throw frame.type === FRAME_TYPES.L1 ? benign('busy', error.message) : this.#stale()
    }
  }

  #frame(type: FrameType, sid: Uint8Array, lEpoch: number, body: Uint8Array): Uint8Array {
    return encodeFrame({ type, role: ROLE_S, linkId: this.#deps.link.parties.linkId, lEpoch, sid, body })
  }

  /**
   * A later message of the live operation, which is over whatever follows unless the step begins the next. For
   * anything else it is an unknown session, and the live one is not touched.
   */
  async #continue(frame: Frame): Promise<Uint8Array> {
    const operation = this.#live.find(frame.sid)
    if (operation === undefined) {
      if (this.#deps.isWalletOperation(frame.sid)) throw violation('type in a wallet operation')
      throw benign('session', 'unknown session')
    }
    try {
      this.#live.assertTimely(operation)
      if (frame.lEpoch !== operation.lEpoch) throw benign('session', 'another link epoch')
      assertSender(frame.type, ROLE_C)
      if (frame.type !== operation.expects) throw violation('type in this session')
      if (!operation.relink) this.#deps.link.assertUsable('other')
      this.#live.release()
      if (operation.kind === 'presign') return await this.#finishPresign(operation, frame)
      if (operation.expects === FRAME_TYPES.L3) return await this.#advanceSetup(operation, frame)
      return await this.#finishSetup(operation, frame)
    } catch (error) {
      if (this.#live.find(frame.sid) === operation) this.#live.drop()
      throw error
    }
  }

  async #startSetup(frame: Frame): Promise<Uint8Array> {
    const { lEpoch: ownLEpoch } = this.#deps.link.record
    const now = this.#deps.clock.nowMs()
    const claimed = frame.body[L1_REASON_AT]
    const relink = claimed === LINK_REASONS.relink && this.#deps.link.mayRelink
    if (!relink) this.#deps.link.assertUsable('other')
    this.#live.assertIdle()
    this.#setupTimesMs = this.#setupTimesMs.filter((at) => now - at < HOUR_MS)
    const last = this.#setupTimesMs.at(-1)
    if (last !== undefined && now - last < SETUP_SPACING_MS) throw benign('busy', 'a set-up was just made')
    const capped = claimed !== LINK_REASONS.erase && this.#setupTimesMs.length >= SETUPS_PER_HOUR
    if (capped) throw benign('busy', 'too many set-ups')
    const starting = this.#deps.sessions.startSetup({ ownLEpoch, replaces: this.#deps.link.material }, frame)
    const step = await this.#live.during(NO_WALLETS, starting, abandon)
    this.#setupTimesMs.push(now)
    const { sid, reason } = step
    this.#live.begin({ kind: 'link', reason, sid, lEpoch: frame.lEpoch, relink, step, expects: FRAME_TYPES.L3 })
    return this.#frame(FRAME_TYPES.L2, sid, frame.lEpoch, step.body)
  }

  async #advanceSetup(operation: Begun & { expects: typeof FRAME_TYPES.L3 }, frame: Frame): Promise<Uint8Array> {
    const step = await this.#live.during(NO_WALLETS, operation.step.advance(frame.body), abandon)
    // The peer's reason proves nothing until its L3 decodes; from here on the old material is not needed.
    this.#deps.link.wipeMaterial()
    const { reason, sid, lEpoch, relink, startedMs } = operation
    this.#live.begin({ kind: 'link', reason, sid, lEpoch, relink, step, expects: FRAME_TYPES.L5 }, startedMs)
    return this.#frame(FRAME_TYPES.L4, sid, lEpoch, step.body)
  }

  async #finishSetup(operation: Begun & { expects: typeof FRAME_TYPES.L5 }, frame: Frame): Promise<Uint8Array> {
    const finishing = operation.step.finish(frame.body)
    const wipe = (given: { readonly material: HeldMaterial }): void => this.#deps.sessions.wipeMaterial(given.material)
    const { material, p1 } = await this.#live.during(NO_WALLETS, finishing, wipe)
    const { reason, relink } = operation
    try {
      await this.#deps.link.commitEpoch(material.lEpoch, { relink, erase: reason === 'erase' })
      const step = await this.#live.during(NO_WALLETS, this.#deps.sessions.startSelfTest(material, p1), abandon)
      const { sid, body } = step
      const { lEpoch } = material
      const session = { wallets: new Set<string>(), material, selfTest: true, relink }
      this.#live.begin({ kind: 'presign', sid, lEpoch, step, expects: FRAME_TYPES.P3, ...session })
      return this.#frame(FRAME_TYPES.P2, sid, lEpoch, body)
    } catch (error) {
      this.#deps.sessions.wipeMaterial(material)
      throw error
    }
  }

  async #startPresign(frame: Frame): Promise<Uint8Array> {
    this.#deps.link.assertUsable('other')
    const { material } = this.#deps.link
    if (material === undefined || frame.lEpoch !== material.lEpoch) throw this.#stale()
    this.#live.assertIdle()
    const p1 = decodeP1(frame)
    if (!this.#deps.presignatures.hasRoomFor(p1.names.length)) throw benign('busy', 'too many presignatures')
    const loaded = new Map<string, WalletRecord>()
    try {
      await this.#loadWallets(p1.names, loaded, material.lEpoch)
      this.#deps.link.assertUsable('other')
      if (this.#deps.link.material !== material) throw this.#stale()
      return await this.#beginPresign(material, frame, p1.names.length, loaded)
    } finally {
      wipeShares(loaded.values())
    }
  }

  async #beginPresign(
    material: HeldMaterial,
    frame: Frame,
    slots: number,
    loaded: ReadonlyMap<string, WalletRecord>,
  ): Promise<Uint8Array> {
    const resolve = ({ walletId }: SlotName): ReturnType<typeof presignSlotOf> => {
      const record = loaded.get(hexOf(walletId))
      return record === undefined ? undefined : presignSlotOf(this.#deps.link.parties, material, record)
    }
    const wallets = new Set(loaded.keys())
    const starting = this.#deps.sessions.startPresign(material, resolve, frame)
    wipeShares(loaded.values())
    const step = await this.#live.during(wallets, starting, abandon)
    if (this.#deps.link.material !== material) {
      step.abandon()
      throw this.#stale()
    }
    this.#deps.link.countSlots(slots)
    const { sid } = step
    const { lEpoch } = material
    const session = { wallets, material, selfTest: false, relink: false }
    this.#live.begin({ kind: 'presign', sid, lEpoch, step, expects: FRAME_TYPES.P3, ...session })
    return this.#frame(FRAME_TYPES.P2, sid, lEpoch, step.body)
  }

  #stale(): ProtocolFault {
    return benign('link_stale', 'no such material', u32(this.#deps.link.record.lEpoch))
  }

  /**
   * The named wallets' records. One that a refresh holds back counts as refused, and so does a damaged one, which is
   * quarantined, one that is ahead at C, and one whose wallet was stopped meanwhile.
   */
  async #loadWallets(names: readonly SlotName[], loaded: Map<string, WalletRecord>, lEpoch: number): Promise<void> {
    const { store, undecided } = this.#deps
    const held = await undecided.heed(names)
    const stopped = new Set<string>()
    this.#stopped = stopped
    try {
      for (const { walletId, wEpoch } of names) {
        const key = hexOf(walletId)
        if (loaded.has(key) || held.has(key)) continue
        try {
          const record = await store.loadWallet(walletId)
          if (record !== undefined) loaded.set(key, record)
          if (record?.state === 'ACTIVE' && record.wEpoch < wEpoch) undecided.noteBehind(walletId)
        } catch (error) {
          if (!(error instanceof ProtocolFault) || error.consequence !== 'quarantine-wallet') throw error
          this.#deps.alert('quarantine', `wallet ${key}`)
        }
      }
      await store.noteUse([...loaded.values()].map((record) => record.walletId), lEpoch)
    } finally {
      this.#stopped = undefined
      for (const key of stopped) {
        loaded.get(key)?.share.fill(0)
        loaded.delete(key)
      }
    }
  }

  async #finishPresign(operation: Begun & { kind: 'presign' }, frame: Frame): Promise<Uint8Array> {
    const { material, selfTest, step, wallets } = operation
    if (!selfTest && this.#deps.link.material !== material) {
      step.abandon()
      throw this.#stale()
    }
    try {
      const given = await this.#live.during(wallets, step.finish(frame.body), wipeAll)
      const { presignatures, body } = given
      if (!selfTest && this.#deps.link.material !== material) {
        wipeAll(given)
        throw this.#stale()
      }
      if (selfTest) {
        if (operation.relink) await this.#deps.link.reopen()
        this.#deps.link.assertUsable('other')
        this.#deps.link.setMaterial(material)
      }
      const expiresAtMs = this.#deps.clock.nowMs() + PRESIGNATURE_TTL_MS
      for (const presignature of presignatures) this.#deps.presignatures.add(presignature, expiresAtMs)
      return this.#frame(FRAME_TYPES.P4, operation.sid, frame.lEpoch, body)
    } catch (error) {
      if (selfTest) this.#deps.sessions.wipeMaterial(material)
      throw error
    }
  }
}
