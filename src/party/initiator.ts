/**
 * Party C of one link: opens every operation, one at a time under the link lock, and decides what becomes of it. What
 * the peer refuses arrives as a PeerRefusal; what the peer broke is punished durably before the caller hears of it.
 */
import type { Clock } from '../domain/clock.ts'
import type { LinkParties, WalletBinding } from '../engine/dkls23/contexts.ts'
import { abandonDkg, advanceDkgC, finishDkgC, type PendingWallets, startDkgC } from '../engine/dkls23/dkg.ts'
import { benign, ProtocolFault, violation } from '../engine/dkls23/fault.ts'
import {
  decodeError,
  decodeFrame,
  decodeHello,
  encodeFrame,
  encodeHello,
  type Frame,
  FRAME_TYPES,
  type FrameType,
  NO_SID,
} from '../engine/dkls23/frame.ts'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'
import { decodeOutcomeQuestions, encodeOutcomeAnswers, type OutcomeQuestion } from '../engine/dkls23/outcome.ts'
import { abandonPresign, advancePresignC, finishPresignC, startPresignC } from '../engine/dkls23/presign.ts'
import { type PresignSlot, presignSlotOf } from '../engine/dkls23/presign-plan.ts'
import type { Presignature } from '../engine/dkls23/presignature.ts'
import type { WalletRecord } from '../engine/dkls23/records.ts'
import { finishSign, startSign } from '../engine/dkls23/sign.ts'
import type { EcdsaSignature } from '../engine/dkls23/sign-messages.ts'
import { type Alg, ALG_ED25519, ALG_SECP256K1, ROLE_C, ROLE_S } from '../engine/dkls23/suite.ts'
import { ed25519Ready } from '../engine/curve/ed25519.ts'
import { EdInitiator } from './ed-initiator.ts'
import type { Counterparty } from './counterparty.ts'
import type { Link } from './link.ts'
import { setUpLink } from './link-initiator.ts'
import type { PartyStore } from './party-store.ts'
import { PeerRefusal } from './peer-refusal.ts'
import { hexOf, PRESIGNATURE_TTL_MS, PresignatureMap } from './presignature-map.ts'

/** C's presignatures die a minute before S's. */
const OWN_TTL_MS = PRESIGNATURE_TTL_MS - 60_000
export const STEP_TIMEOUT_MS = 2_000
const SIGN_TIMEOUT_MS = 10_000
const BUSY_RETRY_MS = 100
const MAX_ATTEMPTS = 4

export type InitiatorStore = PartyStore & {
  /** Settles S's question in one transaction: ABORTED deletes the PENDING record, so it can never be committed. */
  readonly settleOutcome: (question: OutcomeQuestion) => Promise<'COMMITTED' | 'ABORTED'>
}

export type InitiatorDeps = {
  readonly link: Link
  readonly store: InitiatorStore
  readonly peer: Counterparty
  readonly entropy: Entropy
  readonly clock: Clock
  readonly incarnationId: Uint8Array
  readonly alert: (what: string, detail: string) => void
}

export type Generated = { readonly sid: Uint8Array; readonly wallets: readonly WalletBinding[] }
/** What the process that hands out presignatures may know of one. */
export type ReadyPresignature = Pick<Presignature, 'presigId' | 'walletId' | 'wEpoch' | 'noncePoint'> & {
  readonly expiresAtMs: number
}
export type SignJob = {
  readonly walletId: Uint8Array
  readonly presigId: Uint8Array
  readonly reqId: Uint8Array
  readonly digest: Uint8Array
  readonly path: readonly number[]
  readonly payload: Uint8Array
}

export class Initiator {
  readonly #deps: InitiatorDeps
  readonly #link: Link
  readonly #parties: LinkParties
  readonly #presignatures = new PresignatureMap()
  readonly #bindings = new Map<string, WalletBinding>()
  /** The same link's Ed25519 wallets. */
  readonly ed: EdInitiator
  #peerIncarnation = ''

  constructor(deps: InitiatorDeps) {
    this.#deps = deps
    this.#link = deps.link
    this.#parties = deps.link.parties
    this.ed = new EdInitiator({
      ...deps,
      exchange: (...message) => this.#exchange(...message),
      guarded: (work) => this.#guarded(work),
      align: () => this.warm(),
    })
  }

  get presignatureCount(): number {
    return this.#presignatures.size
  }

  wipeSessions(): void {
    this.#presignatures.wipeAll()
    this.ed.wipeAll()
  }

  wipeWallet(walletId: Uint8Array): void {
    this.#presignatures.wipeWallet(walletId)
    this.ed.wipeWallet(walletId)
    this.#bindings.delete(hexOf(walletId))
  }

  /** Says hello; a peer that is another process start than before has none of our presignatures. */
  async connect(): Promise<void> {
    const body = encodeHello(this.#deps.incarnationId)
    const answer = await this.#exchange(FRAME_TYPES.HELLO, NO_SID, this.#link.record.lEpoch, body, FRAME_TYPES.HELLO)
    const incarnation = hexOf(decodeHello(answer.body))
    if (incarnation !== this.#peerIncarnation) this.wipeSessions()
    this.#peerIncarnation = incarnation
  }

  /** Answers what S asks of its own accord: 0x39, the fate of its PENDING records. */
  async answerQuestion(bytes: Uint8Array): Promise<Uint8Array | undefined> {
    const frame = decodeFrame(bytes, ROLE_S)
    if (frame.type !== FRAME_TYPES.OUTCOME_QUESTION) return undefined
    const answers = []
    for (const question of decodeOutcomeQuestions(frame.body)) {
      answers.push({ ...question, verdict: await this.#deps.store.settleOutcome(question) })
    }
    return this.#encode(FRAME_TYPES.OUTCOME_ANSWER, NO_SID, this.#link.record.lEpoch, encodeOutcomeAnswers(answers))
  }

  /** Makes material when there is none or when it is due for renewal, or when an operator granted it after a burn. */
  async warm(): Promise<void> {
    const { state, relinkGrant } = this.#link.record
    if (state === 'BURNED' && relinkGrant > 0) return this.relink()
    await this.#link.lock.run(() => this.#guarded(() => this.#ensureMaterial()))
  }

  /** New material after a burn; needs the operator's grant on both sides. */
  async relink(): Promise<void> {
    await this.#link.lock.run(() => this.#guarded(() => this.#setUp('relink')))
  }

  /** Forces a set-up that erases the material of the present epoch. */
  async renewForErasure(): Promise<void> {
    await this.#link.markEraseDue()
    await this.#link.lock.run(() => this.#guarded(() => this.#setUp('erase')))
  }

  /**
   * Generates `count` wallets of one algorithm: both sides hold durable PENDING records when it returns. The caller's transaction that
   * makes them ACTIVE is the decision; then `acknowledge`.
   */
  async generate(count: number, alg: Alg = ALG_SECP256K1): Promise<Generated> {
    if (alg === ALG_ED25519) await ed25519Ready()
    return this.#guarded(async () => {
      this.#link.assertUsable('other')
      const { lEpoch } = this.#link.record
      const { state, body } = startDkgC(this.#dkgInputs(lEpoch), count, alg)
      const w2 = await this.#exchange(FRAME_TYPES.W1, NO_SID, lEpoch, body, FRAME_TYPES.W2).catch((error: unknown) => {
        abandonDkg(state)
        throw error
      })
      const step = advanceDkgC(state, w2)
      await this.#savePending(step.pending)
      try {
        const w4 = await this.#exchange(FRAME_TYPES.W3, w2.sid, lEpoch, step.body, FRAME_TYPES.W4)
        finishDkgC(step.state, w4.body)
      } catch (error) {
        for (const { walletId, wEpoch } of step.pending.records) await this.#deps.store.dropPending(walletId, wEpoch)
        throw error
      }
      const wallets = step.pending.records.map(({ share: _, ...binding }) => binding)
      return { sid: step.pending.sid, wallets }
    })
  }

  /** W5: S makes its records ACTIVE too. Lost, it is replaced by the first frame that names the wallet. */
  async acknowledge(sid: Uint8Array): Promise<void> {
    const frame = this.#encode(FRAME_TYPES.W5, sid, this.#link.record.lEpoch, new Uint8Array(0))
    await this.#deps.peer.exchange(frame, STEP_TIMEOUT_MS).catch(() => undefined)
  }

  /** One presign session over these wallets, one slot an entry. Slots that either side refuses are left out. */
  async presign(walletIds: readonly Uint8Array[]): Promise<readonly ReadyPresignature[]> {
    return this.#link.lock.run(() =>
      this.#guarded(async () => {
        let wanted = walletIds
        for (let attempt = 1; ; attempt++) {
          await this.#ensureMaterial()
          try {
            return await this.#presignOnce(wanted)
          } catch (error) {
            if (!(error instanceof PeerRefusal) || attempt >= MAX_ATTEMPTS) throw error
            const { refusal } = error
            if (refusal.code === 'plan_refused') wanted = wanted.filter((_, slot) => !refusal.slots.includes(slot))
            else if (refusal.code === 'link_stale') this.#link.wipeMaterial()
            else if (refusal.code === 'busy') await new Promise((wake) => setTimeout(wake, BUSY_RETRY_MS))
            else throw error
            if (wanted.length === 0) return []
          }
        }
      }),
    )
  }

  /**
   * Signs with one presignature, which is gone whatever happens. The caller's intent row is durable. Takes no lock.
   * @throws PeerUnavailable: the outcome is unknown; PeerRefusal; ProtocolFault.
   */
  async sign(job: SignJob): Promise<EcdsaSignature> {
    const presignature = this.#presignatures.take(job.presigId, this.#deps.clock.nowMs())
    const wallet = this.#bindings.get(hexOf(job.walletId))
    if (presignature === undefined || wallet === undefined) throw benign('unknown_presig', 'presignature unknown')
    return this.#guarded(async () => {
      this.#link.assertUsable('sign')
      const { lEpoch, sid } = presignature
      const { state, body } = startSign({ ...job, link: this.#parties, wallet }, presignature)
      const { SIGN_REQUEST, SIGN_RESPONSE } = FRAME_TYPES
      try {
        const answer = await this.#exchange(SIGN_REQUEST, NO_SID, lEpoch, body, SIGN_RESPONSE, SIGN_TIMEOUT_MS)
        return finishSign(state, answer.body)
      } catch (error) {
        if (error instanceof PeerRefusal && error.refusal.code === 'unknown_presig') this.#presignatures.wipeSession(sid)
        if (error instanceof ProtocolFault && error.consequence === 'suspend-wallet') {
          await this.#suspendWallet(job.walletId, sid)
        }
        throw error
      }
    })
  }

  async #suspendWallet(walletId: Uint8Array, sid: Uint8Array): Promise<void> {
    this.wipeWallet(walletId)
    this.#presignatures.wipeSession(sid)
    await this.#deps.store.setWalletState(walletId, 'SUSPENDED', 'final signature invalid')
    this.#deps.alert('wallet_suspended', `wallet ${hexOf(walletId)}: final signature invalid`)
  }

  async #presignOnce(walletIds: readonly Uint8Array[]): Promise<readonly ReadyPresignature[]> {
    const { material } = this.#link
    if (material === undefined) throw benign('link_stale', 'no material')
    const records = new Map<string, WalletRecord>()
    try {
      const slots = await this.#slotsOf(walletIds, records)
      if (slots.length === 0) return []
      if (slots.length < walletIds.length) this.#deps.alert('presign', `${walletIds.length - slots.length} slots refused`)
      await this.#deps.store.noteUse([...records.values()].map((record) => record.walletId), material.lEpoch)
      if (this.#link.material !== material) throw benign('link_stale', 'the material is gone')
      const inputs = { link: this.#parties, material, entropy: this.#deps.entropy, slots }
      const first = startPresignC(inputs)
      for (const { share } of records.values()) share.fill(0)
      const presignatures = await this.#runPresign(first, material.lEpoch)
      this.#link.countSlots(slots.length)
      return this.#keep(presignatures, records)
    } finally {
      for (const { share } of records.values()) share.fill(0)
    }
  }

  async #runPresign(
    first: ReturnType<typeof startPresignC>,
    lEpoch: number,
  ): Promise<readonly Presignature[]> {
    let live: Parameters<typeof abandonPresign>[0] = first.state
    try {
      const p2 = await this.#exchange(FRAME_TYPES.P1, NO_SID, lEpoch, first.body, FRAME_TYPES.P2)
      const second = advancePresignC(first.state, p2)
      live = second.state
      const p4 = await this.#exchange(FRAME_TYPES.P3, second.sid, lEpoch, second.body, FRAME_TYPES.P4)
      return finishPresignC(second.state, p4.body).presignatures
    } catch (error) {
      abandonPresign(live)
      throw error
    }
  }

  #keep(
    presignatures: readonly Presignature[],
    records: ReadonlyMap<string, WalletRecord>,
  ): readonly ReadyPresignature[] {
    const now = this.#deps.clock.nowMs()
    const expiresAtMs = now + OWN_TTL_MS
    this.#presignatures.expire(now)
    for (const [key, record] of records) {
      const { share: _, ...binding } = record
      this.#bindings.set(key, binding)
    }
    return presignatures.map((presignature) => {
      this.#presignatures.add(presignature, expiresAtMs)
      const { presigId, walletId, wEpoch, noncePoint } = presignature
      return { presigId, walletId, wEpoch, noncePoint, expiresAtMs }
    })
  }

  async #slotsOf(walletIds: readonly Uint8Array[], records: Map<string, WalletRecord>): Promise<PresignSlot[]> {
    const { material } = this.#link
    const slots: PresignSlot[] = []
    for (const walletId of walletIds) {
      const key = hexOf(walletId)
      const record = records.get(key) ?? (await this.#deps.store.loadWallet(walletId))
      if (record === undefined || material === undefined) continue
      records.set(key, record)
      const slot = presignSlotOf(this.#parties, material, record)
      if (slot !== undefined) slots.push(slot)
    }
    return slots
  }

  #dkgInputs(lEpoch: number): Parameters<typeof startDkgC>[0] {
    const hk = this.#link.material?.hk
    const { entropy } = this.#deps
    return { link: this.#parties, entropy, lEpoch, nowMs: this.#link.nowMs, ...(hk === undefined ? {} : { hk }) }
  }

  async #savePending(pending: PendingWallets): Promise<void> {
    try {
      await this.#deps.store.savePending(pending)
    } finally {
      for (const { share } of pending.records) share.fill(0)
    }
  }

  async #ensureMaterial(): Promise<void> {
    this.#link.assertUsable('other')
    if (this.#link.material === undefined) await this.#setUp(this.#link.record.lEpoch === 0 ? 'first' : 'boot')
    const due = this.#link.renewalDue()
    if (due !== undefined) await this.#setUp(due)
  }

  async #setUp(reason: Parameters<typeof setUpLink>[1]): Promise<void> {
    await setUpLink(
      {
        link: this.#link,
        entropy: this.#deps.entropy,
        exchange: (type, sid, lEpoch, body, expects) => this.#exchange(type, sid, lEpoch, body, expects),
      },
      reason,
    )
  }

  /** Carries out what a fault costs before the caller hears of it. */
  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (error instanceof ProtocolFault) await this.#link.punish(error)
      if (error instanceof PeerRefusal && error.refusal.code === 'link_burned' && !this.#link.burned) {
        await this.#link.burn()
      }
      throw error
    }
  }

  #encode(type: FrameType, sid: Uint8Array, lEpoch: number, body: Uint8Array): Uint8Array {
    return encodeFrame({ type, role: ROLE_C, linkId: this.#parties.linkId, lEpoch, sid, body })
  }

  /** One message and its answer. An answer of another type, link or session is the peer's violation. */
  async #exchange(
    type: FrameType,
    sid: Uint8Array,
    lEpoch: number,
    body: Uint8Array,
    expects: FrameType,
    timeoutMs = STEP_TIMEOUT_MS,
  ): Promise<Frame> {
    const bytes = await this.#deps.peer.exchange(this.#encode(type, sid, lEpoch, body), timeoutMs)
    if (bytes === undefined) throw benign('session', 'no answer')
    const frame = decodeFrame(bytes, ROLE_S)
    if (frame.type === FRAME_TYPES.ERROR) throw new PeerRefusal(decodeError(frame.body))
    if (hexOf(frame.linkId) !== hexOf(this.#parties.linkId)) throw benign('session', 'another link')
    if (frame.type !== expects) throw violation('type of the answer')
    return frame
  }
}

