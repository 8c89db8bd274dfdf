/**
 * Party S's operations that make or replace shares: key generation, import, refresh, fork, and what follows when their last
 * messages are lost. They need no link lock; each wallet has one PENDING record at most.
 */
import { ed25519Ready } from '../engine/curve/ed25519.ts'
import { violation } from '../engine/dkls23/fault.ts'
import { assertNoSid, encodeFrame, type Frame, FRAME_TYPES, type FrameType, NO_SID } from '../engine/dkls23/frame.ts'
import type { RefreshS2 } from '../engine/dkls23/refresh.ts'
import { ROLE_S } from '../engine/dkls23/suite.ts'
import { DkgResponder } from './dkg-responder.ts'
import { type ForkKeeper, ForkResponder } from './fork-responder.ts'
import type { ImportKeys } from './import-keys.ts'
import { ImportResponder } from './import-responder.ts'
import type { OpenedSession } from './open-sessions.ts'
import type { AnsweringDeps } from './operation-deps.ts'
import { hexOf } from './presignature-map.ts'
import { RefreshResponder } from './refresh-responder.ts'
import { UndecidedWallets } from './undecided-wallets.ts'

type Deps = AnsweringDeps & {
  /** Asks the peer a question of this side's own (0x39). */
  readonly ask: (frame: Uint8Array) => Promise<Uint8Array | undefined>
  /** Takes in what the peer answered. */
  readonly heard: (frame: Uint8Array) => Promise<unknown>
  readonly wipeWallet: (walletId: Uint8Array) => void
  /** Absent: nothing is imported here. */
  readonly importKeys?: ImportKeys | undefined
  /** Absent: no share is made for delegates here. */
  readonly forks?: ForkKeeper | undefined
}

const TYPES: ReadonlySet<FrameType> = new Set([
  FRAME_TYPES.W1,
  FRAME_TYPES.W3,
  FRAME_TYPES.W5,
  FRAME_TYPES.F1,
  FRAME_TYPES.F3,
  FRAME_TYPES.F5,
  FRAME_TYPES.IM1,
  FRAME_TYPES.IM3,
  FRAME_TYPES.IM5,
  FRAME_TYPES.FORK1,
  FRAME_TYPES.FORK3,
  FRAME_TYPES.FORK5,
  FRAME_TYPES.SEALED_SHARE,
  FRAME_TYPES.OUTCOME_ANSWER,
])

export class WalletOperations {
  readonly #deps: Deps
  readonly #dkg: DkgResponder
  readonly #refresh: RefreshResponder
  readonly #import: ImportResponder
  readonly #fork: ForkResponder
  readonly undecided: UndecidedWallets
  #asking: Promise<void> | undefined

  constructor(deps: Deps) {
    this.#deps = deps
    this.#dkg = new DkgResponder(deps)
    this.#import = new ImportResponder(deps)
    this.undecided = new UndecidedWallets({ ...deps, ask: (only) => void this.askOutcomes(only) })
    this.#refresh = new RefreshResponder({ ...deps, undecided: this.undecided })
    this.#fork = new ForkResponder({ ...deps, undecided: this.undecided })
  }

  serves(type: FrameType): boolean {
    return TYPES.has(type)
  }

  /** A session of any kind goes by this sid. */
  has(sid: Uint8Array): boolean {
    return this.#kinds().some((sessions) => sessions.has(sid))
  }

  drop(sid: Uint8Array): void {
    for (const sessions of this.#kinds()) sessions.drop(sid)
  }

  dropAll(): void {
    for (const sessions of this.#kinds()) sessions.dropAll()
  }

  /** Those that change or fork a share of this wallet. */
  dropWallet(walletId: Uint8Array): void {
    const key = hexOf(walletId)
    const holdsIt = ({ records }: Pick<RefreshS2, 'records'>): boolean => records.some((one) => hexOf(one.walletId) === key)
    this.#refresh.sessions.dropWhere(holdsIt)
    this.#fork.sessions.dropWhere(holdsIt)
  }

  #kinds() {
    return [this.#dkg.sessions, this.#refresh.sessions, this.#import.sessions, this.#fork.sessions]
  }

  /** @throws ProtocolFault class C when the sid is of a session of another kind. */
  #assertKind(sid: Uint8Array, own: { has: (sid: Uint8Array) => boolean }): void {
    if (!own.has(sid) && this.has(sid)) throw violation('type in a session of another kind')
  }

  /** @throws ProtocolFault */
  async answer(frame: Frame): Promise<Uint8Array | undefined> {
    const { W1, W2, W3, W4, W5, F1, F2, F3, F4, F5, IM1, IM2, IM3, IM4, IM5, OUTCOME_ANSWER } = FRAME_TYPES
    const { FORK1, FORK2, FORK3, FORK4, FORK5, SEALED_SHARE } = FRAME_TYPES
    switch (frame.type) {
      case W1:
        await ed25519Ready()
        return this.#opened(W2, frame, this.#dkg.start(frame))
      case W3:
        this.#assertKind(frame.sid, this.#dkg.sessions)
        return this.#frame(W4, frame.sid, frame.lEpoch, await this.#dkg.finish(frame))
      case F1:
        return this.#opened(F2, frame, await this.#refresh.start(frame))
      case F3:
        this.#assertKind(frame.sid, this.#refresh.sessions)
        return this.#frame(F4, frame.sid, frame.lEpoch, await this.#refresh.finish(frame))
      case IM1:
        return this.#opened(IM2, frame, await this.#import.start(frame))
      case IM3:
        this.#assertKind(frame.sid, this.#import.sessions)
        return this.#frame(IM4, frame.sid, frame.lEpoch, await this.#import.finish(frame))
      case FORK1:
        return this.#opened(FORK2, frame, await this.#fork.start(frame))
      case FORK3:
        this.#assertKind(frame.sid, this.#fork.sessions)
        return this.#frame(FORK4, frame.sid, frame.lEpoch, await this.#fork.finish(frame))
      case FORK5:
        return this.#frame(SEALED_SHARE, frame.sid, this.#deps.link.record.lEpoch, await this.#fork.acknowledge(frame))
      case SEALED_SHARE:
        await this.#fork.taken(frame)
        return undefined
      case W5:
      case F5:
      case IM5:
        await this.undecided.acknowledge(frame.sid)
        return undefined
      case OUTCOME_ANSWER:
        assertNoSid(frame.sid)
        await this.undecided.settle(frame.body)
        return undefined
      default:
        throw violation('type of a wallet operation')
    }
  }

  /**
   * Asks C about every record that is not decided, or about those of the wallets named in hexadecimal. One round of
   * questions at a time, however often it is called.
   */
  askOutcomes(only?: ReadonlySet<string>): Promise<void> {
    this.#asking ??= this.#askAll(only).finally(() => {
      this.#asking = undefined
    })
    return this.#asking
  }

  async #askAll(only?: ReadonlySet<string>): Promise<void> {
    const { ask, heard, link, alert } = this.#deps
    try {
      for (const body of await this.undecided.questions(only)) {
        const answer = await ask(this.#frame(FRAME_TYPES.OUTCOME_QUESTION, NO_SID, link.record.lEpoch, body))
        if (answer !== undefined && answer[5] === FRAME_TYPES.OUTCOME_ANSWER) await heard(answer)
      }
    } catch (error) {
      alert('outcome', error instanceof Error ? error.message : 'no answer')
    }
  }

  #opened(type: FrameType, { lEpoch }: Frame, { sid, body }: OpenedSession): Uint8Array {
    return this.#frame(type, sid, lEpoch, body)
  }

  #frame(type: FrameType, sid: Uint8Array, lEpoch: number, body: Uint8Array): Uint8Array {
    return encodeFrame({ type, role: ROLE_S, linkId: this.#deps.link.parties.linkId, lEpoch, sid, body })
  }
}
