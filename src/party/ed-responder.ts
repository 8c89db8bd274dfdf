/**
 * Party S's Ed25519 work over one link (docs/protocol.md §18): one answer makes presignatures, one makes a
 * signature, in the order of §10.2. `answer` gives the message that answers a frame; its faults are the
 * responder's to punish.
 */
import { ed25519Ready } from '../engine/curve/ed25519.ts'
import type { WalletBinding } from '../engine/dkls23/contexts.ts'
import { benign } from '../engine/dkls23/fault.ts'
import {
  assertNoSid,
  encodeFrame,
  type Frame,
  FRAME_TYPES,
  type FrameType,
  NO_SID,
} from '../engine/dkls23/frame.ts'
import { assertBelongs } from '../engine/dkls23/presignature.ts'
import type { SlotName } from '../engine/dkls23/presign-plan.ts'
import type { WalletRecord } from '../engine/dkls23/records.ts'
import { ROLE_S } from '../engine/dkls23/suite.ts'
import { answerEdPresign, edSlotOf, slotNamesInE1, wipeEdPresignatures } from '../engine/frost/presign.ts'
import { type EdPresignature, wipeEdPresignature } from '../engine/frost/presignature.ts'
import {
  agreeOnEdSigning,
  answerEdSign,
  assertEdRequestScalar,
  type EdSigningContext,
} from '../engine/frost/sign.ts'
import { decodeEdSignRequest, edSignRequestKey, type EdSignRequest } from '../engine/frost/sign-messages.ts'
import { AnsweredRequests } from './answered-requests.ts'
import type { AnsweringDeps } from './operation-deps.ts'
import type { CosignerIntent } from './party-store.ts'
import { hexOf, PRESIGNATURE_TTL_MS, PresignatureMap } from './presignature-map.ts'
import { loadWallets, StopWatch, wipeShares } from './session-wallets.ts'
import type { UndecidedWallets } from './undecided-wallets.ts'

/**
 * The message that this side derives from the typed request, by itself.
 * @throws whatever does not parse, is too large or is for another wallet: the caller of the peer chose it (class
 *   A).
 */
export type ReadEdPayload = (
  payload: Uint8Array,
  walletId: Uint8Array,
  publicKey: Uint8Array,
) => { readonly message: Uint8Array; readonly summary: string }

type Deps = AnsweringDeps & {
  /** Without it every Ed25519 request is refused by policy. */
  readonly readEdPayload?: ReadEdPayload
  readonly undecided: UndecidedWallets
}

export class EdResponder {
  readonly #deps: Deps
  readonly #presignatures: PresignatureMap<EdPresignature>
  readonly #requests: AnsweredRequests
  readonly #watch = new StopWatch()

  constructor(deps: Deps) {
    this.#deps = deps
    const suspend = this.#suspend.bind(this)
    this.#requests = new AnsweredRequests({ store: deps.store, suspend })
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

  discard(presigId: Uint8Array): void {
    this.#presignatures.discard(presigId)
  }

  /**
   * The frame that answers E1 or 0x22.
   * @throws ProtocolFault; a presignature that a request named is gone in every case.
   */
  async answer(frame: Frame): Promise<Uint8Array> {
    if (frame.type === FRAME_TYPES.E1) return this.#answerPresign(frame)
    assertNoSid(frame.sid)
    const request = decodeEdSignRequest(frame.body, frame.linkId)
    const presignature = this.#presignatures.take(request.presigId)
    try {
      const requestKey = edSignRequestKey(request)
      const body = await this.#requests.once(request, requestKey, () =>
        this.#watch.during((stopped) => this.#answerTaken(request, requestKey, presignature, frame.lEpoch, stopped)),
      )
      return this.#frame(FRAME_TYPES.ED_SIGN_RESPONSE, NO_SID, frame.lEpoch, body)
    } finally {
      if (presignature !== undefined) wipeEdPresignature(presignature)
    }
  }

  #frame(type: FrameType, sid: Uint8Array, lEpoch: number, body: Uint8Array): Uint8Array {
    const { linkId } = this.#deps.link.parties
    return encodeFrame({ type, role: ROLE_S, linkId, lEpoch, sid, body })
  }

  async #answerPresign(frame: Frame): Promise<Uint8Array> {
    const { link, entropy, clock } = this.#deps
    const { lEpoch } = frame
    link.assertAt(lEpoch)
    const names = slotNamesInE1(frame)
    if (!this.#presignatures.hasRoomFor(names.length)) throw benign('busy', 'too many presignatures')
    await ed25519Ready()
    const loaded = new Map<string, WalletRecord>()
    try {
      await this.#watch.during(async (stopped) => {
        await this.#load(names, loaded)
        for (const key of stopped) {
          loaded.get(key)?.share.fill(0)
          loaded.delete(key)
        }
      })
      link.assertUsable('other')
      const resolve = ({ walletId }: SlotName) => {
        const record = loaded.get(hexOf(walletId))
        return record === undefined ? undefined : edSlotOf(link.parties, ROLE_S, lEpoch, record)
      }
      const inputs = { link: link.parties, entropy, lEpoch, resolve, ...link.hedge }
      const { sid, body, presignatures } = answerEdPresign(inputs, frame)
      if (!this.#presignatures.hasRoomFor(presignatures.length)) {
        wipeEdPresignatures(presignatures)
        throw benign('busy', 'too many presignatures')
      }
      const expiresAtMs = clock.nowMs() + PRESIGNATURE_TTL_MS
      for (const presignature of presignatures) this.#presignatures.add(presignature, expiresAtMs)
      return this.#frame(FRAME_TYPES.E2, sid, lEpoch, body)
    } finally {
      wipeShares(loaded.values())
    }
  }

  /** Wallets that a refresh holds back are left out. */
  async #load(names: readonly SlotName[], loaded: Map<string, WalletRecord>): Promise<void> {
    const { store, alert, undecided } = this.#deps
    const held = await undecided.heed(names)
    const free = names.filter(({ walletId }) => !held.has(hexOf(walletId)))
    await loadWallets(store, free, loaded, alert)
    for (const { walletId, wEpoch } of free) {
      const record = loaded.get(hexOf(walletId))
      if (record?.state === 'ACTIVE' && record.wEpoch < wEpoch) undecided.noteBehind(walletId)
    }
  }

  async #answerTaken(
    request: EdSignRequest,
    requestKey: Uint8Array,
    presignature: EdPresignature | undefined,
    lEpoch: number,
    stopped: ReadonlySet<string>,
  ): Promise<Uint8Array> {
    const { link } = this.#deps
    link.assertUsable('sign')
    const known = await this.#requests.known(request, requestKey, () => this.#bindingOf(request))
    if (known !== undefined) return known
    assertEdRequestScalar(request)
    assertBelongs(presignature, request.linkId, request.walletId, request.wEpoch)
    if (presignature.lEpoch !== lEpoch) throw benign('unknown_presig', 'another link epoch')
    const wallet = await this.#bindingOf(request)
    const { message, summary } = this.#read(request, wallet.publicKey)
    const context = agreeOnEdSigning({ link: link.parties, wallet, message }, request, presignature)
    const intent = { ...intentOf(request, presignature), summary }
    return this.#requests.record({ intent, requestKey, sid: presignature.sid }, () => {
      link.assertUsable('sign')
      return this.#release(context, request, presignature, stopped)
    })
  }

  /** Opens the share only now, after the intent is durable, and reads the wallet's state again with it. */
  async #release(
    context: EdSigningContext,
    request: EdSignRequest,
    presignature: EdPresignature,
    stopped: ReadonlySet<string>,
  ): Promise<Uint8Array> {
    const record = await this.#activeRecord(request)
    try {
      this.#deps.link.assertUsable('sign')
      if (stopped.has(hexOf(request.walletId))) throw benign('wallet_state', 'the wallet is not active')
      return answerEdSign(context, request, presignature, record.share).body
    } finally {
      record.share.fill(0)
    }
  }

  #read(request: EdSignRequest, publicKey: Uint8Array): ReturnType<ReadEdPayload> {
    const { readEdPayload } = this.#deps
    if (readEdPayload === undefined) throw benign('policy_denied', 'no Ed25519 payloads here')
    try {
      return readEdPayload(request.payload, request.walletId, publicKey)
    } catch {
      throw benign('policy_denied', 'the payload is refused')
    }
  }

  /** The wallet stops at once; the link and its other wallets go on. */
  async #suspend(walletId: Uint8Array, sid: Uint8Array | undefined, why: string): Promise<void> {
    const id = walletId.slice()
    this.wipeWallet(id)
    if (sid !== undefined) this.#presignatures.wipeSession(sid)
    await this.#deps.store.setWalletState(id, 'SUSPENDED', why)
    this.#deps.alert('wallet_suspended', `wallet ${hexOf(id)}: ${why}`)
  }

  async #bindingOf(request: EdSignRequest): Promise<WalletBinding> {
    const { share, ...binding } = await this.#activeRecord(request)
    share.fill(0)
    return binding
  }

  async #activeRecord({ walletId, wEpoch }: EdSignRequest): Promise<WalletRecord> {
    const record = await this.#deps.store.loadWallet(walletId.slice())
    if (record === undefined) throw benign('wallet_state', 'no such wallet')
    if (record.state === 'ACTIVE' && record.wEpoch === wEpoch) return record
    record.share.fill(0)
    throw benign('wallet_state', 'the wallet is not active at this epoch')
  }
}

/** Fields of a request are views of its frame: what outlives the call is copied. */
const intentOf = (request: EdSignRequest, presignature: EdPresignature): Omit<CosignerIntent, 'summary'> => ({
  walletId: request.walletId.slice(),
  wEpoch: request.wEpoch,
  presigId: request.presigId.slice(),
  noncePoint: presignature.commitments.s.hiding,
  reqId: request.reqId.slice(),
  digest: request.messageHash.slice(),
  payload: request.payload,
})
