/**
 * Party S of one link: takes frames, answers frames, keeps every promise of docs/protocol.md on the answering side.
 * It knows nothing of what carries the frames. `answer` never throws for what the peer sent; when the own disk fails
 * it rejects, because then nothing may be answered.
 */
import type { Clock } from '../domain/clock.ts'
import type { LinkParties } from '../engine/dkls23/contexts.ts'
import { benign, ProtocolFault, violation } from '../engine/dkls23/fault.ts'
import {
  assertBuilt,
  assertNoSid,
  assertSender,
  decodeFrame,
  decodeHello,
  encodeFault,
  encodeFrame,
  encodeHello,
  type Frame,
  FRAME_TYPES,
  type FrameType,
  NO_SID,
} from '../engine/dkls23/frame.ts'
import { advanceLinkS, finishLinkS, LINK_REASONS, startLinkS } from '../engine/dkls23/link-setup.ts'
import { wipeLinkMaterial } from '../engine/dkls23/link-material.ts'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'
import { abandonPresign, advancePresignS, startPresignS, startSelfTestS } from '../engine/dkls23/presign.ts'
import { decodeP1, presignSlotOf, type SlotName } from '../engine/dkls23/presign-plan.ts'
import { type Presignature, wipePresignature } from '../engine/dkls23/presignature.ts'
import type { WalletRecord } from '../engine/dkls23/records.ts'
import { ROLE_C, ROLE_S } from '../engine/dkls23/suite.ts'
import { u32 } from '../engine/hash/encoding.ts'
import { EdResponder, type ReadEdPayload } from './ed-responder.ts'
import type { Link } from './link.ts'
import { type Begun, LiveOperation } from './live-operation.ts'
import type { CosignerStore } from './party-store.ts'
import { hexOf, PRESIGNATURE_TTL_MS, PresignatureMap } from './presignature-map.ts'
import { type ReadPayload, SignResponder } from './sign-responder.ts'
import { WalletOperations } from './wallet-operations.ts'

export type ResponderDeps = {
  readonly link: Link
  readonly store: CosignerStore
  readonly entropy: Entropy
  readonly clock: Clock
  /** This process start, 16 random bytes. */
  readonly incarnationId: Uint8Array
  readonly readPayload: ReadPayload
  readonly readEdPayload?: ReadEdPayload
  /** Asks the peer a question of this side's own (0x39). */
  readonly ask: (frame: Uint8Array) => Promise<Uint8Array | undefined>
  readonly alert: (what: string, detail: string) => void
}

const SETUP_SPACING_MS = 5_000
const SETUPS_PER_HOUR = 120
const HOUR_MS = 3_600_000
/** Where L1 says why. */
const L1_REASON_AT = 36

export class Responder {
  readonly #deps: ResponderDeps
  readonly #link: Link
  readonly #parties: LinkParties
  readonly #presignatures: PresignatureMap<Presignature>
  readonly #signer: SignResponder
  readonly ed: EdResponder
  readonly #wallets: WalletOperations
  readonly #live: LiveOperation
  /** Wallets that were stopped while the records of a session were being read. */
  #stopped: Set<string> | undefined
  #peerIncarnation = ''
  #setupTimesMs: number[] = []

  constructor(deps: ResponderDeps) {
    this.#deps = deps
    this.#link = deps.link
    this.#parties = deps.link.parties
    this.#presignatures = new PresignatureMap(() => deps.clock.nowMs(), wipePresignature)
    const heard = (frame: Uint8Array): Promise<unknown> => this.answer(frame)
    this.#wallets = new WalletOperations({ ...deps, heard, wipeWallet: (walletId) => this.wipeWallet(walletId) })
    this.ed = new EdResponder({ ...deps, undecided: this.#wallets.undecided })
    this.#live = new LiveOperation(deps.clock)
    const dropWallet = (walletId: Uint8Array): void => this.#dropWallet(walletId)
    this.#signer = new SignResponder({ ...deps, dropWallet }, this.#presignatures)
  }

  get presignatureCount(): number {
    return this.#presignatures.size
  }

  /** Ends every session and overwrites every presignature; the link's material is the link's own to wipe. */
  wipeSessions(): void {
    this.#live.drop()
    this.#wallets.dropAll()
    this.#presignatures.wipeAll()
    this.ed.wipeAll()
  }

  /** Resolves when the peer was asked, as far as it answers, about everything that is not decided. */
  settled(): Promise<void> {
    return this.#wallets.askOutcomes()
  }

  /** A presignature that the peer took and will not use. */
  discard(presigId: Uint8Array): void {
    this.#presignatures.discard(presigId)
    this.ed.discard(presigId)
  }

  /** After a freeze, suspension or refresh: nothing of the wallet is left, a session that holds it ends. */
  wipeWallet(walletId: Uint8Array): void {
    this.#dropWallet(walletId)
    this.#signer.forgetWallet(walletId)
  }

  #dropWallet(walletId: Uint8Array): void {
    const key = hexOf(walletId)
    this.#stopped?.add(key)
    this.#live.dropWallet(key)
    this.#presignatures.wipeWallet(walletId)
    this.ed.wipeWallet(walletId)
  }

  /**
   * The answer to one frame; `undefined` where the protocol has none. Rejects when the own disk or code fails:
   * nothing is answered then.
   */
  async answer(bytes: Uint8Array): Promise<Uint8Array | undefined> {
    let sid = NO_SID
    try {
      const frame = decodeFrame(bytes, ROLE_C)
      if (frame.type === FRAME_TYPES.ERROR) return undefined
      if (hexOf(frame.linkId) !== hexOf(this.#parties.linkId)) throw benign('session', 'another link')
      sid = frame.sid.slice()
      return await this.#dispatch(frame)
    } catch (error) {
      return this.#refuse(error, sid)
    }
  }

  async #dispatch(frame: Frame): Promise<Uint8Array | undefined> {
    assertBuilt(frame.type)
    switch (frame.type) {
      case FRAME_TYPES.HELLO:
        return this.#hello(frame)
      case FRAME_TYPES.SIGN_REQUEST:
        assertNoSid(frame.sid)
        return this.#frame(FRAME_TYPES.SIGN_RESPONSE, NO_SID, frame.lEpoch, await this.#signer.answer(frame))
      case FRAME_TYPES.E1:
      case FRAME_TYPES.ED_SIGN_REQUEST:
        return this.ed.answer(frame)
      default:
        if (!this.#wallets.serves(frame.type)) return this.#link.lock.run(() => this.#answerLocked(frame))
        if (this.#live.find(frame.sid) !== undefined) throw violation('type in this session')
        return this.#wallets.answer(frame)
    }
  }

  #frame(type: FrameType, sid: Uint8Array, lEpoch: number, body: Uint8Array): Uint8Array {
    return encodeFrame({ type, role: ROLE_S, linkId: this.#parties.linkId, lEpoch, sid, body })
  }

  /** Turns what went wrong into durable consequences first, then into the error frame. */
  async #refuse(error: unknown, sid: Uint8Array): Promise<Uint8Array> {
    if (!(error instanceof ProtocolFault)) {
      this.#deps.alert('internal', error instanceof Error ? error.message : 'unknown error')
      throw error
    }
    if (error.faultClass === 'C') {
      this.#live.dropOf(sid)
      this.#wallets.drop(sid)
    }
    await this.#link.punish(error)
    if (error.codeName === 'disagreement') this.#deps.alert('disagreement', error.message)
    return this.#frame(FRAME_TYPES.ERROR, sid, this.#link.record.lEpoch, encodeFault(error))
  }

  async #hello(frame: Frame): Promise<Uint8Array> {
    assertNoSid(frame.sid)
    const incarnation = hexOf(decodeHello(frame.body))
    if (incarnation !== this.#peerIncarnation) {
      this.#peerIncarnation = incarnation
      this.wipeSessions()
      void this.#wallets.askOutcomes()
    }
    return this.#frame(FRAME_TYPES.HELLO, NO_SID, this.#link.record.lEpoch, encodeHello(this.#deps.incarnationId))
  }

  // ---- set-up and presign sessions: one at a time, under the link lock ------------------------------------------

  /** Refuses inside the lock as well: a burn is durable before the next frame gets a turn. */
  async #answerLocked(frame: Frame): Promise<Uint8Array> {
    try {
      if (frame.type === FRAME_TYPES.L1) return this.#startSetup(frame)
      if (frame.type === FRAME_TYPES.P1) return await this.#startPresign(frame)
      return await this.#continue(frame)
    } catch (error) {
      return await this.#refuse(error, frame.sid.slice())
    }
  }

  /**
   * A later message of the live operation, which is over whatever follows unless the step begins the next. For
   * anything else it is an unknown session, and the live one is not touched.
   */
  async #continue(frame: Frame): Promise<Uint8Array> {
    const operation = this.#live.find(frame.sid)
    if (operation === undefined) {
      if (this.#wallets.has(frame.sid)) throw violation('type in a wallet operation')
      throw benign('session', 'unknown session')
    }
    try {
      this.#live.assertTimely(operation)
      if (frame.lEpoch !== operation.lEpoch) throw benign('session', 'another link epoch')
      assertSender(frame.type, ROLE_C)
      if (frame.type !== operation.expects) throw violation('type in this session')
      if (!operation.relink) this.#link.assertUsable('other')
      this.#live.release()
      if (operation.kind === 'presign') return await this.#finishPresign(operation, frame)
      if (operation.expects === FRAME_TYPES.L3) return this.#advanceSetup(operation, frame)
      return await this.#finishSetup(operation, frame)
    } catch (error) {
      if (this.#live.find(frame.sid) === operation) this.#live.drop()
      throw error
    }
  }

  #startSetup(frame: Frame): Uint8Array {
    const { lEpoch: ownLEpoch } = this.#link.record
    const now = this.#deps.clock.nowMs()
    const claimed = frame.body[L1_REASON_AT]
    const relink = claimed === LINK_REASONS.relink && this.#link.mayRelink
    if (!relink) this.#link.assertUsable('other')
    this.#live.assertIdle()
    this.#setupTimesMs = this.#setupTimesMs.filter((at) => now - at < HOUR_MS)
    const last = this.#setupTimesMs.at(-1)
    if (last !== undefined && now - last < SETUP_SPACING_MS) throw benign('busy', 'a set-up was just made')
    const capped = claimed !== LINK_REASONS.erase && this.#setupTimesMs.length >= SETUPS_PER_HOUR
    if (capped) throw benign('busy', 'too many set-ups')
    const inputs = { link: this.#parties, entropy: this.#deps.entropy, ownLEpoch }
    const hk = this.#link.material?.hk
    const { state, body, reason } = startLinkS(hk === undefined ? inputs : { ...inputs, hk }, frame)
    this.#setupTimesMs.push(now)
    const { sid } = state
    this.#live.begin({ kind: 'link', reason, sid, lEpoch: frame.lEpoch, relink, state, expects: FRAME_TYPES.L3 })
    return this.#frame(FRAME_TYPES.L2, sid, frame.lEpoch, body)
  }

  #advanceSetup(operation: Begun & { expects: typeof FRAME_TYPES.L3 }, frame: Frame): Uint8Array {
    const { state, body } = advanceLinkS(operation.state, frame.body)
    // The peer's reason proves nothing until its L3 decodes; from here on the old material is not needed.
    this.#link.wipeMaterial()
    const { reason, sid, lEpoch, relink, startedMs } = operation
    this.#live.begin({ kind: 'link', reason, sid, lEpoch, relink, state, expects: FRAME_TYPES.L5 }, startedMs)
    return this.#frame(FRAME_TYPES.L4, sid, lEpoch, body)
  }

  async #finishSetup(operation: Begun & { expects: typeof FRAME_TYPES.L5 }, frame: Frame): Promise<Uint8Array> {
    const { material, p1 } = finishLinkS(operation.state, frame.body)
    const { reason, relink } = operation
    try {
      await this.#link.commitEpoch(material.lEpoch, { relink, erase: reason === 'erase' })
      const { entropy } = this.#deps
      const { state, body, sid } = startSelfTestS({ link: this.#parties, material, entropy }, p1)
      const { lEpoch } = material
      const session = { wallets: new Set<string>(), material, selfTest: true, relink }
      this.#live.begin({ kind: 'presign', sid, lEpoch, state, expects: FRAME_TYPES.P3, ...session })
      return this.#frame(FRAME_TYPES.P2, sid, lEpoch, body)
    } catch (error) {
      wipeLinkMaterial(material)
      throw error
    }
  }

  async #startPresign(frame: Frame): Promise<Uint8Array> {
    this.#link.assertUsable('other')
    const { material } = this.#link
    if (material === undefined || frame.lEpoch !== material.lEpoch) throw this.#stale()
    this.#live.assertIdle()
    const p1 = decodeP1(frame)
    if (!this.#presignatures.hasRoomFor(p1.names.length)) throw benign('busy', 'too many presignatures')
    const loaded = new Map<string, WalletRecord>()
    try {
      await this.#loadWallets(p1.names, loaded, material.lEpoch)
      this.#link.assertUsable('other')
      if (this.#link.material !== material) throw this.#stale()
      const inputs = {
        link: this.#parties,
        material,
        entropy: this.#deps.entropy,
        resolve: ({ walletId }: SlotName) => {
          const record = loaded.get(hexOf(walletId))
          return record === undefined ? undefined : presignSlotOf(this.#parties, material, record)
        },
      }
      const { state, body, sid } = startPresignS(inputs, frame)
      this.#link.countSlots(p1.names.length)
      const { lEpoch } = material
      const session = { wallets: new Set(loaded.keys()), material, selfTest: false, relink: false }
      this.#live.begin({ kind: 'presign', sid, lEpoch, state, expects: FRAME_TYPES.P3, ...session })
      return this.#frame(FRAME_TYPES.P2, sid, lEpoch, body)
    } finally {
      for (const { share } of loaded.values()) share.fill(0)
    }
  }

  #stale(): ProtocolFault {
    return benign('link_stale', 'no such material', u32(this.#link.record.lEpoch))
  }

  /**
   * The named wallets' records. A frame that names a PENDING wallet at its epoch stands for the ACK that was lost; a
   * damaged record is quarantined and counts as refused, and so does one whose wallet was stopped meanwhile.
   */
  async #loadWallets(names: readonly SlotName[], loaded: Map<string, WalletRecord>, lEpoch: number): Promise<void> {
    const { store } = this.#deps
    const { undecided } = this.#wallets
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
          if (record?.state === 'ACTIVE' && record.wEpoch < wEpoch) await undecided.stopBehind(walletId)
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
    const { material, selfTest, state } = operation
    if (!selfTest && this.#link.material !== material) {
      abandonPresign(state)
      throw this.#stale()
    }
    try {
      const { presignatures, body } = advancePresignS(state, frame.body)
      if (selfTest) {
        if (operation.relink) await this.#link.reopen()
        this.#link.setMaterial(material)
      }
      const expiresAtMs = this.#deps.clock.nowMs() + PRESIGNATURE_TTL_MS
      for (const presignature of presignatures) this.#presignatures.add(presignature, expiresAtMs)
      return this.#frame(FRAME_TYPES.P4, operation.sid, frame.lEpoch, body)
    } catch (error) {
      if (selfTest) wipeLinkMaterial(material)
      throw error
    }
  }
}
