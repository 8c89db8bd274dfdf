/**
 * Party S of one link: takes frames, answers frames, keeps every promise of docs/protocol.md on the answering side.
 * It knows nothing of what carries the frames. `answer` never throws for what the peer sent; when the own disk fails
 * it rejects, because then nothing may be answered.
 */
import type { Clock } from '../domain/clock.ts'
import { advanceDkgS, abandonDkg, type DkgS2, startDkgS } from '../engine/dkls23/dkg.ts'
import type { LinkParties } from '../engine/dkls23/contexts.ts'
import { benign, ProtocolFault, violation } from '../engine/dkls23/fault.ts'
import {
  assertBodyLength,
  assertSender,
  bodyLengthFromCounts,
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
import {
  abandonLinkSetup,
  advanceLinkS,
  finishLinkS,
  type LinkReason,
  type LinkS2,
  type LinkS4,
  startLinkS,
} from '../engine/dkls23/link-setup.ts'
import { wipeLinkMaterial } from '../engine/dkls23/link-material.ts'
import type { LinkMaterial } from '../engine/dkls23/link-material.ts'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'
import { decodeOutcomeAnswers, encodeOutcomeQuestions } from '../engine/dkls23/outcome.ts'
import {
  abandonPresign,
  advancePresignS,
  type PresignS2,
  startPresignS,
  startSelfTestS,
} from '../engine/dkls23/presign.ts'
import { decodeP1, presignSlotOf } from '../engine/dkls23/presign-plan.ts'
import type { WalletRecord } from '../engine/dkls23/records.ts'
import { ROLE_C, ROLE_S } from '../engine/dkls23/suite.ts'
import { u32 } from '../engine/hash/encoding.ts'
import { ed25519Ready } from '../engine/curve/ed25519.ts'
import { EdResponder, type ReadEdPayload } from './ed-responder.ts'
import type { Link } from './link.ts'
import type { CosignerStore } from './party-store.ts'
import { hexOf, PRESIGNATURE_TTL_MS, PresignatureMap } from './presignature-map.ts'
import { type ReadPayload, SignResponder } from './sign-responder.ts'

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

const STEP_MS = 2_000
const SESSION_MS = 10_000
const SETUP_SPACING_MS = 5_000
const SETUPS_PER_HOUR = 120
const MAX_DKG_SESSIONS = 64

type Operation = { readonly sid: Uint8Array; readonly startedMs: number; touchedMs: number } & (
  | { readonly kind: 'link'; readonly reason: LinkReason; state: LinkS2 | LinkS4; expects: FrameType }
  | {
      readonly kind: 'presign'
      readonly state: PresignS2
      /** The wallets of the session; none in a self-test. */
      readonly wallets: ReadonlySet<string>
      /** The material that this self-test makes READY, and whether it ends a burn. */
      readonly selfTest: LinkMaterial | undefined
      readonly relink: boolean
    }
)
type DkgSession = { readonly state: DkgS2; readonly startedMs: number }

export class Responder {
  readonly #deps: ResponderDeps
  readonly #link: Link
  readonly #parties: LinkParties
  readonly #presignatures = new PresignatureMap()
  readonly #signer: SignResponder
  readonly ed: EdResponder
  readonly #dkg = new Map<string, DkgSession>()
  #operation: Operation | undefined
  #peerIncarnation = ''
  #setupTimesMs: number[] = []

  constructor(deps: ResponderDeps) {
    this.#deps = deps
    this.#link = deps.link
    this.#parties = deps.link.parties
    this.#signer = new SignResponder(deps, this.#presignatures)
    this.ed = new EdResponder(deps)
  }

  get presignatureCount(): number {
    return this.#presignatures.size
  }

  /** Ends every session and overwrites every presignature; the link's material is the link's own to wipe. */
  wipeSessions(): void {
    this.#dropOperation()
    for (const { state } of this.#dkg.values()) abandonDkg(state)
    this.#dkg.clear()
    this.#presignatures.wipeAll()
    this.ed.wipeAll()
  }

  /** After a freeze, suspension or refresh: nothing of the wallet is left, a session that holds it ends. */
  wipeWallet(walletId: Uint8Array): void {
    const operation = this.#operation
    if (operation?.kind === 'presign' && operation.wallets.has(hexOf(walletId))) this.#dropOperation()
    this.#presignatures.wipeWallet(walletId)
    this.ed.wipeWallet(walletId)
    this.#signer.forgetWallet(walletId)
  }

  /** The answer to one frame; `undefined` where the protocol has none. */
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
    switch (frame.type) {
      case FRAME_TYPES.HELLO:
        return this.#hello(frame)
      case FRAME_TYPES.SIGN_REQUEST:
        return this.#frame(FRAME_TYPES.SIGN_RESPONSE, NO_SID, frame.lEpoch, await this.#signer.answer(frame))
      case FRAME_TYPES.E1:
      case FRAME_TYPES.ED_SIGN_REQUEST:
        return this.ed.answer(frame)
      case FRAME_TYPES.W1:
        await ed25519Ready()
        return this.#answerDkg(frame)
      case FRAME_TYPES.W3:
      case FRAME_TYPES.W5:
        return this.#answerDkg(frame)
      case FRAME_TYPES.OUTCOME_ANSWER:
        await this.#applyOutcomes(frame.body)
        return undefined
      default:
        return this.#link.lock.run(() => this.#answerLocked(frame))
    }
  }

  #frame(type: FrameType, sid: Uint8Array, lEpoch: number, body: Uint8Array): Uint8Array {
    return encodeFrame({ type, role: ROLE_S, linkId: this.#parties.linkId, lEpoch, sid, body })
  }

  /** Turns what went wrong into durable consequences first, then into the error frame. */
  async #refuse(error: unknown, sid: Uint8Array): Promise<Uint8Array> {
    const fault = error instanceof ProtocolFault ? error : undefined
    if (fault === undefined) {
      this.#deps.alert('internal', error instanceof Error ? error.message : 'unknown error')
      return this.#errorFrame(new ProtocolFault('B', 'internal', 'internal'), sid)
    }
    if (fault.faultClass === 'C') this.#dropOperationOf(sid)
    await this.#link.punish(fault)
    if (fault.codeName === 'disagreement') this.#deps.alert('disagreement', fault.message)
    return this.#errorFrame(fault, sid)
  }

  #errorFrame(fault: ProtocolFault, sid: Uint8Array): Uint8Array {
    return this.#frame(FRAME_TYPES.ERROR, sid, this.#link.record.lEpoch, encodeFault(fault))
  }

  async #hello(frame: Frame): Promise<Uint8Array> {
    const incarnation = hexOf(decodeHello(frame.body))
    if (incarnation !== this.#peerIncarnation) {
      this.#peerIncarnation = incarnation
      this.wipeSessions()
      void this.#askOutcomes()
    }
    return this.#frame(FRAME_TYPES.HELLO, NO_SID, this.#link.record.lEpoch, encodeHello(this.#deps.incarnationId))
  }

  /** A PENDING record is settled by C alone; S drops it only on an explicit ABORTED. */
  async #askOutcomes(): Promise<void> {
    const questions = await this.#deps.store.pendingWallets()
    if (questions.length === 0) return
    const body = encodeOutcomeQuestions(questions.slice(0, 256))
    const frame = this.#frame(FRAME_TYPES.OUTCOME_QUESTION, NO_SID, this.#link.record.lEpoch, body)
    try {
      const answer = await this.#deps.ask(frame)
      if (answer !== undefined) await this.answer(answer)
    } catch (error) {
      this.#deps.alert('outcome', error instanceof Error ? error.message : 'no answer')
    }
  }

  async #applyOutcomes(body: Uint8Array): Promise<void> {
    const open = await this.#deps.store.pendingWallets()
    for (const answer of decodeOutcomeAnswers(body)) {
      const known = open.some(
        (one) =>
          hexOf(one.walletId) === hexOf(answer.walletId) &&
          one.wEpoch === answer.wEpoch &&
          hexOf(one.sid) === hexOf(answer.sid),
      )
      if (!known) continue
      if (answer.verdict === 'COMMITTED') await this.#deps.store.activate(answer.walletId, answer.wEpoch)
      else await this.#deps.store.dropPending(answer.walletId, answer.wEpoch)
    }
  }

  // ---- key generation ------------------------------------------------------------------------------------------

  async #answerDkg(frame: Frame): Promise<Uint8Array | undefined> {
    const lEpoch = this.#link.record.lEpoch
    if (frame.type === FRAME_TYPES.W1) {
      this.#link.assertUsable('other')
      this.#expireDkg()
      if (this.#dkg.size >= MAX_DKG_SESSIONS) throw benign('busy', 'too many key generations')
      if (frame.lEpoch !== lEpoch) throw benign('epoch_rejected', 'link epoch differs', u32(lEpoch))
      assertBodyLength(frame.body, bodyLengthFromCounts(frame.type, frame.body))
      const { state, body } = startDkgS(this.#dkgInputs(), frame)
      this.#dkg.set(hexOf(state.sid), { state, startedMs: this.#deps.clock.nowMs() })
      return this.#frame(FRAME_TYPES.W2, state.sid, frame.lEpoch, body)
    }
    if (frame.type === FRAME_TYPES.W5) {
      await this.#acknowledgeDkg(frame.sid)
      return undefined
    }
    const session = this.#dkg.get(hexOf(frame.sid))
    this.#dkg.delete(hexOf(frame.sid))
    this.#link.assertUsable('other')
    if (session === undefined) throw benign('session', 'no such key generation')
    const { pending, body } = advanceDkgS(session.state, frame.body)
    try {
      await this.#deps.store.savePending(pending)
    } finally {
      for (const { share } of pending.records) share.fill(0)
    }
    return this.#frame(FRAME_TYPES.W4, frame.sid, frame.lEpoch, body)
  }

  #dkgInputs(): Parameters<typeof startDkgS>[0] {
    const { entropy } = this.#deps
    const hk = this.#link.material?.hk
    const { lEpoch } = this.#link.record
    return { link: this.#parties, entropy, lEpoch, nowMs: this.#link.nowMs, ...(hk === undefined ? {} : { hk }) }
  }

  async #acknowledgeDkg(sid: Uint8Array): Promise<void> {
    const open = await this.#deps.store.pendingWallets()
    for (const one of open) {
      if (hexOf(one.sid) === hexOf(sid)) await this.#deps.store.activate(one.walletId, one.wEpoch)
    }
  }

  #expireDkg(): void {
    const oldest = this.#deps.clock.nowMs() - SESSION_MS
    for (const [key, session] of this.#dkg) {
      if (session.startedMs > oldest) continue
      abandonDkg(session.state)
      this.#dkg.delete(key)
    }
  }

  // ---- set-up and presign sessions: one at a time, under the link lock ------------------------------------------

  async #answerLocked(frame: Frame): Promise<Uint8Array | undefined> {
    if (frame.type === FRAME_TYPES.L1) return this.#startSetup(frame)
    if (frame.type === FRAME_TYPES.P1) return this.#startPresign(frame)
    const operation = this.#operationOf(frame)
    assertSender(frame.type, ROLE_C)
    if (operation.kind === 'presign') {
      if (frame.type !== FRAME_TYPES.P3) throw violation('type in a presign session')
      return this.#finishPresign(operation, frame)
    }
    if (frame.type !== operation.expects) throw violation('type in a link set-up')
    return frame.type === FRAME_TYPES.L3 ? this.#advanceSetup(operation, frame) : this.#finishSetup(operation, frame)
  }

  /** The live operation a frame belongs to; anything else is an unknown session and touches nothing. */
  #operationOf(frame: Frame): Operation {
    const operation = this.#operation
    const now = this.#deps.clock.nowMs()
    if (operation === undefined || hexOf(operation.sid) !== hexOf(frame.sid)) throw benign('session', 'unknown session')
    if (now - operation.startedMs > SESSION_MS) {
      this.#dropOperation()
      throw benign('session', 'the session is over')
    }
    operation.touchedMs = now
    return operation
  }

  /** Room for a new operation: none is live, or the live one has been silent for a whole step. */
  #assertIdle(): void {
    const operation = this.#operation
    if (operation === undefined) return
    const now = this.#deps.clock.nowMs()
    if (now - operation.touchedMs <= STEP_MS && now - operation.startedMs <= SESSION_MS) {
      throw benign('busy', 'another session is in flight')
    }
    this.#dropOperation()
  }

  #dropOperation(): void {
    const operation = this.#operation
    this.#operation = undefined
    if (operation === undefined) return
    if (operation.kind === 'link') abandonLinkSetup(operation.state)
    else {
      abandonPresign(operation.state)
      if (operation.selfTest !== undefined) wipeLinkMaterial(operation.selfTest)
    }
  }

  #dropOperationOf(sid: Uint8Array): void {
    if (this.#operation !== undefined && hexOf(this.#operation.sid) === hexOf(sid)) this.#dropOperation()
  }

  #begin(operation: Operation): void {
    this.#operation = operation
  }

  #startSetup(frame: Frame): Uint8Array {
    const { record } = this.#link
    const now = this.#deps.clock.nowMs()
    const relink = frame.body[36] === 6 && record.relinkGrant > 0
    if (!relink) this.#link.assertUsable('other')
    this.#assertIdle()
    this.#setupTimesMs = this.#setupTimesMs.filter((at) => now - at < SESSION_MS * 360)
    const last = this.#setupTimesMs.at(-1)
    const erase = frame.body[36] === 5
    if (last !== undefined && now - last < SETUP_SPACING_MS) throw benign('busy', 'a set-up was just made')
    if (!erase && this.#setupTimesMs.length >= SETUPS_PER_HOUR) throw benign('busy', 'too many set-ups')
    const inputs = { link: this.#parties, entropy: this.#deps.entropy, ownLEpoch: record.lEpoch }
    const hk = this.#link.material?.hk
    const { state, body, reason } = startLinkS(hk === undefined ? inputs : { ...inputs, hk }, frame)
    this.#setupTimesMs.push(now)
    const expects = FRAME_TYPES.L3
    this.#begin({ kind: 'link', reason, sid: state.sid, state, expects, startedMs: now, touchedMs: now })
    return this.#frame(FRAME_TYPES.L2, state.sid, frame.lEpoch, body)
  }

  #advanceSetup(operation: Operation & { kind: 'link' }, frame: Frame): Uint8Array {
    const { state, body } = advanceLinkS(operation.state as LinkS2, frame.body)
    // The peer's reason proves nothing until its L3 decodes; from here on the old material is not needed.
    this.#link.wipeMaterial()
    operation.state = state
    operation.expects = FRAME_TYPES.L5
    return this.#frame(FRAME_TYPES.L4, operation.sid, frame.lEpoch, body)
  }

  async #finishSetup(operation: Operation & { kind: 'link' }, frame: Frame): Promise<Uint8Array> {
    const { material, p1 } = finishLinkS(operation.state as LinkS4, frame.body)
    this.#operation = undefined
    const { reason } = operation
    try {
      await this.#link.commitEpoch(material.lEpoch, { relink: reason === 'relink', erase: reason === 'erase' })
      const { entropy } = this.#deps
      const { state, body, sid } = startSelfTestS({ link: this.#parties, material, entropy }, p1)
      const now = this.#deps.clock.nowMs()
      const relink = reason === 'relink'
      const wallets = new Set<string>()
      this.#begin({ kind: 'presign', sid, state, wallets, selfTest: material, relink, startedMs: now, touchedMs: now })
      return this.#frame(FRAME_TYPES.P2, sid, material.lEpoch, body)
    } catch (error) {
      wipeLinkMaterial(material)
      throw error
    }
  }

  async #startPresign(frame: Frame): Promise<Uint8Array> {
    this.#link.assertUsable('other')
    const { material } = this.#link
    const stale = () => benign('link_stale', 'no such material', u32(this.#link.record.lEpoch))
    if (material === undefined || frame.lEpoch !== material.lEpoch) throw stale()
    this.#assertIdle()
    const p1 = decodeP1(frame)
    const loaded = new Map<string, WalletRecord>()
    try {
      await this.#loadWallets(p1.names, loaded)
      await this.#deps.store.noteUse([...loaded.values()].map((record) => record.walletId), material.lEpoch)
      if (this.#link.material !== material) throw stale()
      const inputs = {
        link: this.#parties,
        material,
        entropy: this.#deps.entropy,
        resolve: ({ walletId }: { readonly walletId: Uint8Array }) => {
          const record = loaded.get(hexOf(walletId))
          return record === undefined ? undefined : presignSlotOf(this.#parties, material, record)
        },
      }
      const { state, body, sid } = startPresignS(inputs, frame)
      this.#link.countSlots(p1.names.length)
      const now = this.#deps.clock.nowMs()
      const session = { wallets: new Set(loaded.keys()), selfTest: undefined, relink: false }
      this.#begin({ kind: 'presign', sid, state, ...session, startedMs: now, touchedMs: now })
      return this.#frame(FRAME_TYPES.P2, sid, material.lEpoch, body)
    } finally {
      for (const { share } of loaded.values()) share.fill(0)
    }
  }

  /**
   * The named wallets' records. A frame that names a PENDING wallet at its epoch stands for the ACK that was lost; a
   * damaged record is quarantined and counts as refused.
   */
  async #loadWallets(
    names: readonly { readonly walletId: Uint8Array; readonly wEpoch: number }[],
    loaded: Map<string, WalletRecord>,
  ): Promise<void> {
    const { store } = this.#deps
    const pending = await store.pendingWallets()
    for (const { walletId, wEpoch } of names) {
      const key = hexOf(walletId)
      if (loaded.has(key)) continue
      try {
        const lost = pending.some((one) => one.wEpoch === wEpoch && hexOf(one.walletId) === key)
        if (lost) await store.activate(walletId, wEpoch)
        const record = await store.loadWallet(walletId)
        if (record !== undefined) loaded.set(key, record)
      } catch (error) {
        if (!(error instanceof ProtocolFault) || error.consequence !== 'quarantine-wallet') throw error
        this.#deps.alert('quarantine', `wallet ${key}`)
      }
    }
  }

  async #finishPresign(operation: Operation & { kind: 'presign' }, frame: Frame): Promise<Uint8Array> {
    this.#operation = undefined
    const { selfTest } = operation
    try {
      const { presignatures, body } = advancePresignS(operation.state, frame.body)
      if (selfTest !== undefined) {
        if (operation.relink) await this.#link.reopen()
        this.#link.setMaterial(selfTest)
      }
      const expiresAtMs = this.#deps.clock.nowMs() + PRESIGNATURE_TTL_MS
      this.#presignatures.expire(this.#deps.clock.nowMs())
      for (const presignature of presignatures) this.#presignatures.add(presignature, expiresAtMs)
      return this.#frame(FRAME_TYPES.P4, operation.sid, frame.lEpoch, body)
    } catch (error) {
      if (selfTest !== undefined) wipeLinkMaterial(selfTest)
      throw error
    }
  }
}
