/**
 * Party S of one link: takes frames, answers frames, keeps every promise of docs/protocol.md on the answering side.
 * It knows nothing of what carries the frames. `answer` never throws for what the peer sent; when the own disk fails
 * it rejects, because then nothing may be answered.
 */
import type { LinkParties } from '../engine/dkls23/contexts.ts'
import { benign, ProtocolFault, violation } from '../engine/dkls23/fault.ts'
import {
  assertOffered,
  assertNoSid,
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
import { type Presignature, wipePresignature } from '../engine/dkls23/presignature.ts'
import { ROLE_C, ROLE_S } from '../engine/dkls23/suite.ts'
import { EdResponder, type ReadEdPayload } from './ed-responder.ts'
import { ExportResponder } from './export-responder.ts'
import type { ForkKeeper } from './fork-responder.ts'
import type { ImportKeys } from './import-keys.ts'
import type { Link } from './link.ts'
import type { AnsweringDeps } from './operation-deps.ts'
import { hexOf, PresignatureMap } from './presignature-map.ts'
import { inThreadSessionsOfS } from './in-thread-sessions.ts'
import type { SessionsOfS } from './session-engine.ts'
import { SessionResponder } from './session-responder.ts'
import { type ReadPayload, SignResponder } from './sign-responder.ts'
import { WalletOperations } from './wallet-operations.ts'

export type ResponderDeps = AnsweringDeps & {
  /** This process start, 16 random bytes. */
  readonly incarnationId: Uint8Array
  readonly readPayload: ReadPayload
  readonly readEdPayload?: ReadEdPayload
  /** Where the heavy steps are computed; absent, in this thread. */
  readonly sessions?: SessionsOfS
  /** What halves of imported keys are sealed to; absent, nothing is imported. */
  readonly importKeys?: ImportKeys | undefined
  /** Who decides on shares for delegates; absent, none are made. */
  readonly forks?: ForkKeeper | undefined
  /** Asks the peer a question of this side's own (0x39). */
  readonly ask: (frame: Uint8Array) => Promise<Uint8Array | undefined>
}

export class Responder {
  readonly #deps: ResponderDeps
  readonly #link: Link
  readonly #parties: LinkParties
  readonly #presignatures: PresignatureMap<Presignature>
  readonly #signer: SignResponder
  readonly ed: EdResponder
  readonly #wallets: WalletOperations
  readonly #sessions: SessionResponder
  readonly #exports: ExportResponder
  #peerIncarnation = ''

  constructor(deps: ResponderDeps) {
    this.#deps = deps
    this.#link = deps.link
    this.#parties = deps.link.parties
    this.#presignatures = new PresignatureMap(() => deps.clock.nowMs(), wipePresignature)
    const heard = (frame: Uint8Array): Promise<unknown> => this.answer(frame)
    this.#wallets = new WalletOperations({ ...deps, heard, wipeWallet: (walletId) => this.wipeWallet(walletId) })
    const { undecided } = this.#wallets
    this.ed = new EdResponder({ ...deps, undecided })
    this.#sessions = new SessionResponder({
      ...deps,
      undecided,
      sessions: deps.sessions ?? inThreadSessionsOfS(deps.link.parties, deps.entropy),
      presignatures: this.#presignatures,
      isWalletOperation: (sid) => this.#wallets.has(sid),
    })
    this.#exports = new ExportResponder(deps)
    const dropWallet = (walletId: Uint8Array): void => this.#dropWallet(walletId)
    this.#signer = new SignResponder({ ...deps, dropWallet }, this.#presignatures)
  }

  get presignatureCount(): number {
    return this.#presignatures.size
  }

  /** Ends every session and overwrites every presignature; the link's material is the link's own to wipe. */
  wipeSessions(): void {
    this.#sessions.drop()
    this.#wallets.dropAll()
    this.#presignatures.wipeAll()
    this.ed.wipeAll()
  }

  /** As `Initiator.loseUpTo`; a session over that material ends. */
  loseUpTo(lEpoch: number): void {
    this.#link.wipeMaterialUpTo(lEpoch)
    this.#sessions.dropUpTo(lEpoch)
    this.#presignatures.wipeUpTo(lEpoch)
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

  /** After the wallet's share was erased: no operation that was begun with it holds a copy either. */
  endWallet(walletId: Uint8Array): void {
    this.wipeWallet(walletId)
    this.#wallets.dropWallet(walletId)
  }

  #dropWallet(walletId: Uint8Array): void {
    this.#sessions.dropWallet(hexOf(walletId))
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
      // A step may take the frame's memory over; the sid is read after it.
      return await this.#dispatch({ ...frame, sid })
    } catch (error) {
      return this.#refuse(error, sid)
    }
  }

  async #dispatch(frame: Frame): Promise<Uint8Array | undefined> {
    assertOffered(frame.type)
    switch (frame.type) {
      case FRAME_TYPES.HELLO:
        return this.#hello(frame)
      case FRAME_TYPES.SIGN_REQUEST:
        assertNoSid(frame.sid)
        return this.#frame(FRAME_TYPES.SIGN_RESPONSE, NO_SID, frame.lEpoch, await this.#signer.answer(frame))
      case FRAME_TYPES.EXPORT_REQUEST:
        return this.#frame(FRAME_TYPES.EXPORT_ANSWER, NO_SID, this.#link.record.lEpoch, await this.#exports.answer(frame))
      case FRAME_TYPES.E1:
      case FRAME_TYPES.ED_SIGN_REQUEST:
        return this.ed.answer(frame)
      default:
        if (!this.#wallets.serves(frame.type)) return this.#link.lock.run(() => this.#answerLocked(frame))
        if (this.#sessions.has(frame.sid)) throw violation('type in this session')
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
      this.#sessions.dropOf(sid)
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
    // Of a session that was cut off by a break the peer has no answer to give: the next one need not wait for its time.
    else this.#sessions.drop()
    return this.#frame(FRAME_TYPES.HELLO, NO_SID, this.#link.record.lEpoch, encodeHello(this.#deps.incarnationId))
  }

  /** Refuses inside the lock as well: a burn is durable before the next frame gets a turn. */
  async #answerLocked(frame: Frame): Promise<Uint8Array> {
    try {
      return await this.#sessions.answer(frame)
    } catch (error) {
      return await this.#refuse(error, frame.sid)
    }
  }
}
