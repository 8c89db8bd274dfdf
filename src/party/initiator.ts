/**
 * Party C of one link: opens every operation, one at a time under the link lock, and decides what becomes of it. What
 * the peer refuses arrives as a PeerRefusal; what the peer broke is punished durably before the caller hears of it.
 */
import type { Clock } from '../domain/clock.ts'
import type { LinkParties, WalletBinding } from '../engine/dkls23/contexts.ts'
import type { PendingWallets } from '../engine/dkls23/dkg.ts'
import { benign, ProtocolFault } from '../engine/dkls23/fault.ts'
import {
  assertNoSid,
  decodeFrame,
  decodeHello,
  encodeFault,
  encodeFrame,
  encodeHello,
  FRAME_TYPES,
  type FrameType,
  NO_SID,
} from '../engine/dkls23/frame.ts'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'
import { decodeOutcomeQuestions, encodeOutcomeAnswers, type OutcomeQuestion } from '../engine/dkls23/outcome.ts'
import { type Presignature, wipePresignature } from '../engine/dkls23/presignature.ts'
import type { WalletRecord } from '../engine/dkls23/records.ts'
import type { EcdsaSignature } from '../engine/dkls23/sign-messages.ts'
import { type Alg, ROLE_C, ROLE_S } from '../engine/dkls23/suite.ts'
import { EdInitiator } from './ed-initiator.ts'
import type { Counterparty } from './counterparty.ts'
import { generateWallets } from './dkg-initiator.ts'
import { type ExportedParts, type ExportOrder, exportShares } from './export-initiator.ts'
import { confirmFork, type ForkedShare, type ForkOrderC, type ForkStore, forkWallet } from './fork-initiator.ts'
import { type Exchange, openExchange, STEP_TIMEOUT_MS } from './frame-exchange.ts'
import { type ImportOrder, importWallet } from './import-initiator.ts'
import type { ImportKeys } from './import-keys.ts'
import type { Link } from './link.ts'
import { setUpLink } from './link-initiator.ts'
import type { Generated } from './new-wallets.ts'
import type { OpeningDeps } from './operation-deps.ts'
import type { PartyStore } from './party-store.ts'
import { PeerRefusal } from './peer-refusal.ts'
import { hexOf, PRESIGNATURE_TTL_OF_C_MS, PresignatureMap } from './presignature-map.ts'
import { loadForPresign, runPresign } from './presign-initiator.ts'
import { SignInitiator, type SignJob } from './sign-initiator.ts'
import { inThreadSessionsOfC } from './in-thread-sessions.ts'
import { RefreshInitiator } from './refresh-initiator.ts'
import type { SessionsOfC } from './session-engine.ts'
import { wipeShares } from './session-wallets.ts'

const BUSY_RETRY_MS = 100
const MAX_ATTEMPTS = 4
/** Bindings of wallets without presignatures are forgotten when there are more than this. */
const MAX_IDLE_BINDINGS = 4_096

export type InitiatorStore = PartyStore & {
  /** Settles S's question in one transaction: ABORTED deletes the PENDING record, so it can never be committed. */
  readonly settleOutcome: (question: OutcomeQuestion) => Promise<'COMMITTED' | 'ABORTED'>
  /**
   * The decision of a refresh, in one transaction: the new records are the present ones, the old are erased, for good
   * when this resolves. Rejects, and has changed nothing, once `settleOutcome` answered ABORTED about this sid, or when
   * a wallet may not be refreshed any more.
   */
  readonly commitRefresh: (decided: PendingWallets) => Promise<void>
}

export type InitiatorDeps = {
  readonly link: Link
  readonly store: InitiatorStore
  readonly peer: Counterparty
  readonly entropy: Entropy
  readonly clock: Clock
  readonly incarnationId: Uint8Array
  /** Where the heavy steps are computed; absent, in this thread. */
  readonly sessions?: SessionsOfC
  readonly alert: (what: string, detail: string) => void
}

/** What the process that hands out presignatures may know of one. */
export type ReadyPresignature = Pick<Presignature, 'presigId' | 'walletId' | 'wEpoch' | 'noncePoint'> & {
  readonly expiresAtMs: number
}

export class Initiator {
  readonly #deps: InitiatorDeps
  readonly #link: Link
  readonly #parties: LinkParties
  readonly #exchange: Exchange
  readonly #common: InitiatorDeps & OpeningDeps
  readonly #sessions: SessionsOfC
  readonly #presignatures: PresignatureMap<Presignature>
  readonly #bindings = new Map<string, WalletBinding>()
  readonly #signing: SignInitiator
  /** The same link's Ed25519 wallets. */
  readonly ed: EdInitiator
  readonly refreshes: RefreshInitiator
  /** Wallets that were wiped while a presign session ran. */
  #wiped: Set<string> | undefined
  #peerIncarnation = ''

  constructor(deps: InitiatorDeps) {
    this.#deps = deps
    this.#presignatures = new PresignatureMap(() => deps.clock.nowMs(), wipePresignature)
    this.#link = deps.link
    this.#parties = deps.link.parties
    this.#exchange = openExchange(deps.link.parties, deps.peer)
    this.#sessions = deps.sessions ?? inThreadSessionsOfC(deps.link.parties, deps.entropy)
    this.#signing = new SignInitiator({
      link: deps.link,
      exchange: this.#exchange,
      presignatures: this.#presignatures,
      bindingOf: (walletId) => this.#bindings.get(hexOf(walletId)),
      guarded: (work) => this.#guarded(work),
      suspend: (walletId, sid) => this.#suspendWallet(walletId, sid),
    })
    this.#common = {
      ...deps,
      exchange: this.#exchange,
      guarded: <T>(work: () => Promise<T>): Promise<T> => this.#guarded(work),
      align: () => this.warm(),
    }
    this.refreshes = new RefreshInitiator({
      ...this.#common,
      setUpErasing: () => this.#setUp('erase'),
      wipeWallet: (walletId) => this.wipeWallet(walletId),
      tell: (type, sid, lEpoch, body) => this.#tell(type, sid, lEpoch, body),
    })
    this.ed = new EdInitiator({ ...this.#common, isHeld: (walletId) => this.refreshes.isHeld(walletId) })
  }

  get presignatureCount(): number {
    return this.#presignatures.size
  }

  wipeSessions(): void {
    this.#presignatures.wipeAll()
    this.#signing.clear()
    this.ed.wipeAll()
  }

  /** The material up to this epoch is gone on one side, with what was made over it. Ed25519 presignatures need none. */
  loseUpTo(lEpoch: number): void {
    this.#link.wipeMaterialUpTo(lEpoch)
    this.#presignatures.wipeUpTo(lEpoch)
  }

  /** Whether a presignature of either kind is here. */
  has(presigId: Uint8Array): boolean {
    return this.#presignatures.has(presigId) || this.ed.has(presigId)
  }

  discard(presigId: Uint8Array): void {
    this.#presignatures.discard(presigId)
    this.#signing.forget(presigId)
    this.ed.discard(presigId)
  }

  wipeWallet(walletId: Uint8Array): void {
    this.#presignatures.wipeWallet(walletId)
    this.ed.wipeWallet(walletId)
    this.#bindings.delete(hexOf(walletId))
    this.#wiped?.add(hexOf(walletId))
  }

  /**
   * Says hello; a peer that is another process start than before has none of our presignatures. Answers whether it is
   * another.
   */
  async connect(): Promise<boolean> {
    const body = encodeHello(this.#deps.incarnationId)
    const { HELLO } = FRAME_TYPES
    return this.#guarded(async () => {
      const answer = await this.#exchange(HELLO, NO_SID, this.#link.record.lEpoch, body, HELLO)
      const incarnation = hexOf(decodeHello(answer.body))
      const isOther = incarnation !== this.#peerIncarnation
      if (isOther) this.wipeSessions()
      this.#peerIncarnation = incarnation
      return isOther
    })
  }

  /** Answers what S asks of its own accord: 0x39, the fate of its PENDING records. A refusal is an error frame. */
  async answerQuestion(bytes: Uint8Array): Promise<Uint8Array | undefined> {
    const { lEpoch } = this.#link.record
    try {
      return await this.#guarded(async () => {
        const frame = decodeFrame(bytes, ROLE_S)
        if (frame.type !== FRAME_TYPES.OUTCOME_QUESTION) return undefined
        if (hexOf(frame.linkId) !== hexOf(this.#parties.linkId)) throw benign('session', 'another link')
        assertNoSid(frame.sid)
        const answers = []
        for (const question of decodeOutcomeQuestions(frame.body)) {
          this.refreshes.close(question)
          answers.push({ ...question, verdict: await this.#deps.store.settleOutcome(question) })
        }
        return this.#encode(FRAME_TYPES.OUTCOME_ANSWER, NO_SID, lEpoch, encodeOutcomeAnswers(answers))
      })
    } catch (error) {
      if (!(error instanceof ProtocolFault)) throw error
      return this.#encode(FRAME_TYPES.ERROR, NO_SID, lEpoch, encodeFault(error))
    }
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

  /** As `relink`, where an operator granted it to a burned link; elsewhere nothing. */
  async relinkGranted(): Promise<void> {
    await this.#link.lock.run(async () => {
      if (this.#link.burned && this.#link.mayRelink) await this.#guarded(() => this.#setUp('relink'))
    })
  }

  /**
   * A share was erased. The material that it met is overwritten at once, or together with that of other erasures at
   * the end of the minute; the next session makes new one.
   */
  async noteErasure(): Promise<void> {
    await this.#link.markEraseDue()
  }

  /** Forces a set-up that erases the material of the present epoch; for an operator, not for every erased share. */
  async renewForErasure(): Promise<void> {
    await this.#link.markEraseDue()
    await this.#link.lock.run(() => this.#guarded(() => this.#setUp('erase')))
  }

  /**
   * Generates `count` wallets of one algorithm: both sides hold durable PENDING records when it returns. The caller's
   * transaction that makes them ACTIVE is the decision; then `acknowledge`.
   */
  generate(count: number, alg?: Alg): Promise<Generated> {
    return generateWallets(this.#common, count, alg)
  }

  /** Both shares of a wallet, each sealed by its own party to its owner's key. */
  export(order: ExportOrder): Promise<ExportedParts> {
    return exportShares(this.#common, order)
  }

  /** A second sharing of a wallet's key for a delegate; then `confirmFork`, once what is returned is stored. */
  fork(store: ForkStore, order: ForkOrderC): Promise<ForkedShare> {
    return forkWallet({ ...this.#common, store, tell: this.#tell.bind(this) }, order)
  }

  confirmFork(store: ForkStore, forked: Pick<ForkedShare, 'sid' | 'receipt'>): Promise<void> {
    return confirmFork({ ...this.#common, store, tell: this.#tell.bind(this) }, forked)
  }

  /** As `generate`, of a key whose halves a client has made and sealed; then `acknowledge` with IM5. */
  import(keys: ImportKeys, order: ImportOrder): Promise<Generated> {
    return importWallet(this.#common, keys, order)
  }

  /** W5 or IM5: S decides its records too. Lost, it is replaced by the first frame that names the wallet. */
  async acknowledge(sid: Uint8Array, type: FrameType = FRAME_TYPES.W5): Promise<void> {
    await this.#tell(type, sid, this.#link.record.lEpoch, new Uint8Array(0))
  }

  async #tell(type: FrameType, sid: Uint8Array, lEpoch: number, body: Uint8Array): Promise<void> {
    const frame = this.#encode(type, sid, lEpoch, body)
    await this.#deps.peer.exchange(frame, STEP_TIMEOUT_MS).catch(() => undefined)
  }

  /** One presign session over these wallets, one slot an entry. Slots that either side refuses are left out. */
  async presign(walletIds: readonly Uint8Array[]): Promise<readonly ReadyPresignature[]> {
    return this.#link.lock.run(() => this.#guarded(() => this.#presignLocked(walletIds)))
  }

  async #presignLocked(walletIds: readonly Uint8Array[]): Promise<readonly ReadyPresignature[]> {
    let wanted = walletIds
    for (let attempt = 1; ; attempt++) {
      await this.#ensureMaterial()
      wanted = wanted.filter((walletId) => !this.refreshes.isHeld(walletId))
      this.#wiped = new Set()
      const records = await loadForPresign(this.#deps.store, this.#link, wanted)
      if (records.length < wanted.length) this.#deps.alert('presign', `${wanted.length - records.length} slots refused`)
      wanted = records.map(({ walletId }) => walletId)
      if (wanted.length === 0) return []
      try {
        return await this.#presignOnce(records)
      } catch (error) {
        if (attempt >= MAX_ATTEMPTS) throw error
        const refused = await this.#refusedSlots(error)
        wanted = wanted.filter((_, slot) => !refused.includes(slot))
      } finally {
        this.#wiped = undefined
      }
    }
  }

  /** What to leave out of the next try after a refusal that allows one. @throws the refusal, when it does not. */
  async #refusedSlots(error: unknown): Promise<readonly number[]> {
    if (error instanceof ProtocolFault && error.codeName === 'link_stale') return []
    if (!(error instanceof PeerRefusal)) throw error
    const { refusal } = error
    if (refusal.code === 'plan_refused') return refusal.slots
    if (refusal.code === 'link_stale') this.#link.wipeMaterial()
    else if (refusal.code === 'busy') await new Promise((wake) => setTimeout(wake, BUSY_RETRY_MS))
    else throw error
    return []
  }

  /**
   * Signs with one presignature, which is gone whatever happens. The caller's intent row is durable. Takes no lock.
   * @throws PeerUnavailable: the outcome is unknown; PeerRefusal; ProtocolFault.
   */
  sign(job: SignJob): Promise<EcdsaSignature> {
    return this.#signing.sign(job)
  }

  /** Works out what needs no share of a signature whose intent is not durable yet. Refuses nothing: `signPrepared` does. */
  prepareSign(job: SignJob): void {
    this.#signing.prepare(job)
  }

  /** As `sign`, of the job that `prepareSign` was given for this presignature. */
  signPrepared(presigId: Uint8Array): Promise<EcdsaSignature> {
    return this.#signing.signPrepared(presigId)
  }

  async #suspendWallet(walletId: Uint8Array, sid: Uint8Array): Promise<void> {
    this.wipeWallet(walletId)
    this.#presignatures.wipeSession(sid)
    await this.#deps.store.setWalletState(walletId, 'SUSPENDED', 'final signature invalid')
    this.#deps.alert('wallet_suspended', `wallet ${hexOf(walletId)}: final signature invalid`)
  }

  /** Takes the records over and overwrites their shares. */
  async #presignOnce(records: readonly WalletRecord[]): Promise<readonly ReadyPresignature[]> {
    try {
      const presignatures = await runPresign({ ...this.#deps, sessions: this.#sessions, exchange: this.#exchange }, records)
      return this.#keep(presignatures, records)
    } finally {
      wipeShares(records)
    }
  }

  #keep(presignatures: readonly Presignature[], records: readonly WalletRecord[]): readonly ReadyPresignature[] {
    const expiresAtMs = this.#deps.clock.nowMs() + PRESIGNATURE_TTL_OF_C_MS
    this.#presignatures.expire()
    if (this.#bindings.size > MAX_IDLE_BINDINGS) this.#forgetIdleBindings()
    for (const { share: _, ...binding } of records) this.#bindings.set(hexOf(binding.walletId), binding)
    return presignatures.flatMap((presignature) => {
      const { presigId, walletId, wEpoch, noncePoint } = presignature
      if (this.#wiped?.has(hexOf(walletId))) {
        wipePresignature(presignature)
        return []
      }
      this.#presignatures.add(presignature, expiresAtMs)
      return [{ presigId, walletId, wEpoch, noncePoint, expiresAtMs }]
    })
  }

  #forgetIdleBindings(): void {
    const used = this.#presignatures.wallets()
    for (const key of this.#bindings.keys()) if (!used.has(key)) this.#bindings.delete(key)
  }

  async #ensureMaterial(): Promise<void> {
    this.#link.assertUsable('other')
    const due = this.#link.renewalDue()
    if (due !== undefined) await this.#setUp(due)
    else if (this.#link.material === undefined) await this.#setUp(this.#link.record.lEpoch === 0 ? 'first' : 'boot')
  }

  async #setUp(reason: Parameters<typeof setUpLink>[1]): Promise<void> {
    await setUpLink({ ...this.#deps, sessions: this.#sessions, exchange: this.#exchange }, reason)
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
}
