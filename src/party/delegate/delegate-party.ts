/**
 * A delegate without a daemon of its own: party C of one access in this thread, over its own stream to the daemon that
 * delegated. What it keeps is a state of a few hundred bytes (delegate-state.ts).
 */
import { randomBytes } from 'node:crypto'
import { type ProjectId, walletIdFromBytes } from '../../domain/ids.ts'
import { ed25519Ready } from '../../engine/curve/ed25519.ts'
import { makeLinkParties } from '../../engine/dkls23/contexts.ts'
import type { EcdsaSignature } from '../../engine/dkls23/sign-messages.ts'
import { ROLE_C } from '../../engine/dkls23/suite.ts'
import { decodeDelegatedShare, type DelegatedShare } from '../../engine/sealing/delegated-share.ts'
import { examine } from '../../payload/examine.ts'
import { encodeSigningPayload, type SigningContent, type SigningMethod } from '../../payload/signing-payload.ts'
import { PeerUnavailable } from '../counterparty.ts'
import { createEntropy, systemClock } from '../entropy.ts'
import { Initiator, type ReadyPresignature } from '../initiator.ts'
import { grantedFrom, Link, newLinkRecord } from '../link.ts'
import { Lock } from '../lock.ts'
import { partyIdOf } from '../party-id.ts'
import { PeerRefusal } from '../peer-refusal.ts'
import { hexOf } from '../presignature-map.ts'
import type { GrantingAddress } from './cosign-rpc.ts'
import { type CosignIdentity, CosignStream, type CosignTarget, type DaemonRefusal } from './cosign-stream.ts'
import { type DelegateState, type DelegateStateStore, openDelegateState } from './delegate-state.ts'
import { recordOf } from './open-delivery.ts'

export type DelegatePartyOptions = {
  /** The decrypted share as text: JSON of a keyShare. */
  readonly keyShare: string
  /** `cdk_…` */
  readonly walletApiKey: string
  readonly granting: GrantingAddress & { readonly partyId: Uint8Array }
  readonly identity: CosignIdentity
  readonly state: DelegateStateStore
  /** The word of whoever runs this that a burned link may be set up anew, once the operator of the daemon gave it too. */
  readonly relink?: boolean | undefined
}

/** The daemon that delegated said no; `reason` is one of errors.proto. */
export class DelegationRefused extends Error {
  readonly reason: string

  constructor({ reason, message }: DaemonRefusal) {
    super(message)
    this.name = 'DelegationRefused'
    this.reason = reason
  }
}

/** Slots of a session: more make the first signature wait longer. */
const SESSION_SLOTS = 8
const LOW_WATER = 4
const MAX_TRIES = 3
const SHARDS = 16

type Joined = {
  readonly stream: CosignStream
  readonly projectId: ProjectId
  /** The hello was answered over it, and the first share is replaced. */
  isPrepared: boolean
}

export class DelegateParty {
  readonly #target: CosignTarget
  readonly #identity: CosignIdentity
  readonly #state: DelegateState
  readonly #initiator: Initiator
  readonly #link: Link
  readonly #closeEntropy: () => void
  readonly #joining = new Lock()
  readonly #refusals = new Map<string, DaemonRefusal>()
  #stream: Joined | undefined
  #ready: ReadyPresignature[] = []
  #filling: Promise<void> | undefined
  #ended: DaemonRefusal | undefined
  #closed = false

  private constructor(options: DelegatePartyOptions, own: DelegatedShare, state: DelegateState) {
    const { granting, walletApiKey: apiKey, identity } = options
    this.#target = { ...granting, accessId: own.walletId, apiKey }
    this.#identity = identity
    this.#state = state
    const entropy = createEntropy(systemClock)
    this.#closeEntropy = entropy.close
    const wipeSessions = (): void => {
      this.#ready = []
      this.#initiator.wipeSessions()
    }
    const events = { alert: () => undefined, wipeSessions }
    const parties = makeLinkParties(own.idG, own.idD, 0, SHARDS)
    this.#link = new Link(parties, state.link(), state.store, systemClock, events)
    this.#initiator = new Initiator({
      link: this.#link,
      store: state.store,
      peer: { exchange: (frame, timeoutMs) => this.#exchange(frame, timeoutMs), close: () => undefined },
      entropy,
      clock: systemClock,
      incarnationId: new Uint8Array(randomBytes(16)),
      alert: () => undefined,
    })
  }

  /** Nothing is joined yet. @throws RangeError for a share that is not ours, of another delegate or daemon. */
  static async open(options: DelegatePartyOptions): Promise<DelegateParty> {
    await ed25519Ready()
    const text = new Uint8Array(Buffer.from(options.keyShare, 'utf8'))
    const read = decodeDelegatedShare(text)
    text.fill(0)
    if (read.kind !== 'own') throw new RangeError(read.kind === 'foreign' ? 'FOREIGN_SHARE' : 'the key share is malformed')
    const own = read.share
    if (hexOf(own.idG) !== hexOf(partyIdOf(options.identity.publicKey))) throw new RangeError('the share is of another delegate')
    if (hexOf(own.idD) !== hexOf(options.granting.partyId)) throw new RangeError('the share is of another daemon')
    const nowMs = Date.now()
    const parties = makeLinkParties(own.idG, own.idD, 0, SHARDS)
    if (hexOf(parties.linkId) !== hexOf(own.linkId)) throw new RangeError('the share is for another link')
    const first = { link: newLinkRecord(parties, ROLE_C, BigInt(nowMs)), wallet: recordOf(own, nowMs) }
    const state = await openDelegateState(options.state, first)
    const granted = options.relink === true ? grantedFrom(state.link()) : 'not stopped'
    if (typeof granted !== 'string') await state.store.saveLinks([granted])
    return new DelegateParty(options, own, state)
  }

  /** As the engine encodes it. */
  get publicKey(): Uint8Array {
    return this.#state.wallet().publicKey
  }

  /**
   * The ECDSA signature of what the content says, verified against the public key, and its digest. Refuses as `examine`;
   * DelegationRefused: the daemon's word; PeerUnavailable: it may or may not have signed.
   */
  async sign(method: SigningMethod, content: SigningContent): Promise<EcdsaSignature & { readonly digest: Uint8Array }> {
    const { digest } = examine(content)
    const { walletId } = this.#state.wallet()
    for (let attempt = 1; ; attempt++) {
      const projectId = await this.#join()
      const payload = encodeSigningPayload({ projectId, walletId: walletIdFromBytes(walletId), method, content })
      const reqId = new Uint8Array(randomBytes(16))
      const ready = await this.#take()
      try {
        const signature = await this.#initiator.sign({ walletId, presigId: ready.presigId, reqId, payload, digest, path: [] })
        return { ...signature, digest }
      } catch (error) {
        const refusal = this.#refusals.get(hexOf(reqId))
        this.#refusals.delete(hexOf(reqId))
        if (refusal !== undefined) throw new DelegationRefused(refusal)
        const isUnknown = error instanceof PeerRefusal && error.refusal.code === 'unknown_presig'
        if (!isUnknown || attempt === MAX_TRIES) throw error
        this.#ready = []
      }
    }
  }

  /** Overwrites what is in memory; the state stays. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#stream?.stream.close()
    await this.#filling?.catch(() => undefined)
    await this.#link.settled()
    this.#initiator.wipeSessions()
    this.#link.wipeMaterial()
    this.#state.wipe()
    this.#closeEntropy()
  }

  /** Joins the daemon, says hello, and replaces the first share where that was not done yet. */
  async #join(): Promise<ProjectId> {
    return this.#joining.run(async () => {
      if (this.#closed) throw new PeerUnavailable('it is closed')
      if (this.#stream === undefined || this.#stream.stream.isOver) this.#stream = await this.#openStream()
      const joined = this.#stream
      if (!joined.isPrepared) {
        if (await this.#initiator.connect()) this.#ready = []
        await this.#initiator.relinkGranted()
        const { walletId, wEpoch } = this.#state.wallet()
        if (wEpoch === 0) await this.#initiator.refreshes.refresh(walletId)
        joined.isPrepared = true
      }
      return joined.projectId
    })
  }

  async #openStream(): Promise<Joined> {
    const stream = new CosignStream(this.#target, this.#identity, {
      question: (frame) => this.#initiator.answerQuestion(frame),
      ended: (_why, refusal) => (this.#ended = refusal),
    })
    this.#ended = undefined
    const { projectId } = await stream.joined.catch((error: unknown) => {
      throw this.#ended === undefined ? error : new DelegationRefused(this.#ended)
    })
    return { stream, projectId: projectId as ProjectId, isPrepared: false }
  }

  async #exchange(frame: Uint8Array, timeoutMs: number): Promise<Uint8Array | undefined> {
    if (this.#stream === undefined) throw new PeerUnavailable('it is not joined')
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(() => late.reject(new PeerUnavailable('it does not answer in time')), timeoutMs)
    try {
      const { frame: answer, refusal } = await Promise.race([this.#stream.stream.frame(frame), late.promise])
      if (refusal !== undefined) this.#noteRefusal(frame, refusal)
      return answer
    } catch (error) {
      throw this.#ended === undefined ? error : new DelegationRefused(this.#ended)
    } finally {
      clearTimeout(timer)
    }
  }

  #noteRefusal(frame: Uint8Array, refusal: DaemonRefusal): void {
    const REQ_ID_AT = 64 + 52
    if (this.#refusals.size >= 256) this.#refusals.clear()
    this.#refusals.set(hexOf(frame.subarray(REQ_ID_AT, REQ_ID_AT + 16)), refusal)
  }

  async #take(): Promise<ReadyPresignature> {
    for (;;) {
      this.#ready = this.#ready.filter(({ expiresAtMs }) => expiresAtMs > Date.now())
      const next = this.#ready.shift()
      if (this.#ready.length < LOW_WATER) this.#fill()
      if (next !== undefined) return next
      await this.#filling
    }
  }

  #fill(): void {
    const { walletId } = this.#state.wallet()
    this.#filling ??= this.#initiator
      .presign(Array.from({ length: SESSION_SLOTS }, () => walletId.slice()))
      .then((made) => {
        if (made.length === 0) throw new PeerUnavailable('no presignature was made')
        this.#ready.push(...made)
      })
      .finally(() => (this.#filling = undefined))
    this.#filling.catch(() => undefined)
  }
}
