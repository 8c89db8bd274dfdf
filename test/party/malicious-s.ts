import { advanceDkgS, type DkgS2, startDkgS } from '../../src/engine/dkls23/dkg.ts'
import {
  decodeFrame,
  encodeFrame,
  encodeHello,
  type Frame,
  FRAME_TYPES,
  type FrameType,
  NO_SID,
} from '../../src/engine/dkls23/frame.ts'
import type { LinkMaterial } from '../../src/engine/dkls23/link-material.ts'
import { advanceLinkS, finishLinkS, type LinkS2, type LinkS4, startLinkS } from '../../src/engine/dkls23/link-setup.ts'
import { advancePresignS, type PresignS2, startPresignS, startSelfTestS } from '../../src/engine/dkls23/presign.ts'
import { type PresignSlot, presignSlotOf } from '../../src/engine/dkls23/presign-plan.ts'
import type { Presignature } from '../../src/engine/dkls23/presignature.ts'
import { agreeOnSigning, answerSign } from '../../src/engine/dkls23/sign.ts'
import { decodeSignRequest, type SignRequest } from '../../src/engine/dkls23/sign-messages.ts'
import { ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { emptyTranscript, extendTranscript } from '../../src/engine/dkls23/transcript.ts'
import { concatBytes, u8 } from '../../src/engine/hash/encoding.ts'
import { taggedHash } from '../../src/engine/hash/tagged-hash.ts'
import { hexOf } from '../../src/party/presignature-map.ts'
import { entropy, sha256, type TwoParties } from './two-parties.ts'

export type Bends = {
  readonly L2?: (body: Uint8Array, state: LinkS2) => Uint8Array
  readonly L4?: (body: Uint8Array, state: LinkS4) => Uint8Array
  readonly W2?: (body: Uint8Array, state: DkgS2) => Uint8Array
  readonly W4?: (body: Uint8Array) => Uint8Array
  /** Of a session or of a self-test. The transcript takes what is sent. */
  readonly P2?: (body: Uint8Array, state: PresignS2) => Uint8Array
  /** Before S multiplies: its secrets may be changed. */
  readonly beforeP4?: (state: PresignS2) => void
  /** P4 without its conf, which is made anew over what is sent. */
  readonly P4?: (half: Uint8Array, state: PresignS2) => Uint8Array
  readonly slot?: (slot: PresignSlot) => PresignSlot
  readonly signature?: (body: Uint8Array, request: SignRequest) => Uint8Array
  readonly presignature?: (presignature: Presignature) => Presignature
}

/** A party S gone wrong, with S's shares and material, that bends what it says. Goes to `wire.peer`. */
export class MaliciousS {
  readonly two: TwoParties
  bends: Bends
  material: LinkMaterial | undefined
  lEpoch: number
  readonly presignatures = new Map<string, Presignature>()
  #setUp: { s2?: LinkS2; s4?: LinkS4 } = {}
  #presign: { state: PresignS2; tr2: Uint8Array; selfTest: boolean } | undefined
  #dkg: DkgS2 | undefined

  constructor(two: TwoParties, bends: Bends = {}) {
    this.two = two
    this.bends = bends
    this.material = two.linkS.material === undefined ? undefined : structuredClone(two.linkS.material)
    this.lEpoch = two.linkS.record.lEpoch
  }

  answer = async (bytes: Uint8Array): Promise<Uint8Array | undefined> => {
    const frame = decodeFrame(bytes, ROLE_C)
    const { parties } = this.two.linkS
    switch (frame.type) {
      case FRAME_TYPES.HELLO:
        return this.#frame(FRAME_TYPES.HELLO, NO_SID, this.lEpoch, encodeHello(new Uint8Array(16)))
      case FRAME_TYPES.L1: {
        const { state, body } = startLinkS({ link: parties, entropy, ownLEpoch: this.lEpoch }, frame)
        this.#setUp = { s2: state }
        return this.#frame(FRAME_TYPES.L2, state.sid, frame.lEpoch, this.bends.L2?.(body, state) ?? body)
      }
      case FRAME_TYPES.L3: {
        const { state, body } = advanceLinkS(known(this.#setUp.s2), frame.body)
        this.#setUp = { s4: state }
        return this.#frame(FRAME_TYPES.L4, frame.sid, frame.lEpoch, this.bends.L4?.(body, state) ?? body)
      }
      case FRAME_TYPES.L5: {
        const { material, p1 } = finishLinkS(known(this.#setUp.s4), frame.body)
        this.material = material
        this.lEpoch = material.lEpoch
        return this.#p2(startSelfTestS({ link: parties, entropy, material }, p1), p1, true)
      }
      case FRAME_TYPES.P1:
        return this.#answerP1(frame)
      case FRAME_TYPES.P3:
        return this.#answerP3(frame)
      case FRAME_TYPES.W1: {
        const { state, body } = startDkgS({ link: parties, entropy, lEpoch: frame.lEpoch, nowMs: 0n }, frame)
        this.#dkg = state
        return this.#frame(FRAME_TYPES.W2, state.sid, frame.lEpoch, this.bends.W2?.(body, state) ?? body)
      }
      case FRAME_TYPES.W3: {
        const { body, pending } = advanceDkgS(known(this.#dkg), frame.body)
        await this.two.storeS.savePending(pending)
        return this.#frame(FRAME_TYPES.W4, frame.sid, frame.lEpoch, this.bends.W4?.(body) ?? body)
      }
      case FRAME_TYPES.SIGN_REQUEST:
        return this.#answerSign(frame)
      default:
        return undefined
    }
  }

  async #answerP1(frame: Frame): Promise<Uint8Array> {
    const material = known(this.material)
    const { parties } = this.two.linkS
    const slots = new Map<string, PresignSlot>()
    for (const [key, { record }] of this.two.storeS.wallets) {
      const slot = presignSlotOf(parties, material, { ...record, state: 'ACTIVE' })
      if (slot !== undefined) slots.set(key, this.bends.slot?.(slot) ?? slot)
    }
    const inputs = { link: parties, entropy, material, resolve: (name: { walletId: Uint8Array }) => slots.get(hexOf(name.walletId)) }
    return this.#p2(startPresignS(inputs, frame), frame.body.slice(), false)
  }

  #p2(
    started: { readonly state: PresignS2; readonly body: Uint8Array; readonly sid: Uint8Array },
    p1: Uint8Array,
    selfTest: boolean,
  ): Uint8Array {
    const body = this.bends.P2?.(started.body, started.state) ?? started.body
    const tr1 = extendTranscript(emptyTranscript(), ROLE_C, FRAME_TYPES.P1, p1)
    const tr2 = extendTranscript(tr1, ROLE_S, FRAME_TYPES.P2, body)
    this.#presign = { state: { ...started.state, tr: tr2 }, tr2, selfTest }
    return this.#frame(FRAME_TYPES.P2, started.sid, known(this.material).lEpoch, body)
  }

  #answerP3(frame: Frame): Uint8Array {
    const { state, tr2 } = known(this.#presign)
    this.bends.beforeP4?.(state)
    const { body, presignatures } = advancePresignS(state, frame.body)
    for (const one of presignatures) this.presignatures.set(hexOf(one.presigId), one)
    const honest = body.slice(0, -32)
    const half = this.bends.P4?.(honest, state) ?? honest
    const tr3 = extendTranscript(tr2, ROLE_C, FRAME_TYPES.P3, frame.body)
    const tr = extendTranscript(tr3, ROLE_S, FRAME_TYPES.P4, half)
    const conf = taggedHash('presign/conf', state.sid, u8(ROLE_S), tr)
    return this.#frame(FRAME_TYPES.P4, state.sid, frame.lEpoch, concatBytes(half, conf))
  }

  async #answerSign(frame: Frame): Promise<Uint8Array> {
    const request = decodeSignRequest(frame.body, frame.linkId)
    const held = known(this.presignatures.get(hexOf(request.presigId)))
    const presignature = this.bends.presignature?.(held) ?? held
    const wallet = known(await this.two.storeS.loadWallet(request.walletId))
    const link = this.two.linkS.parties
    const inputs = { link, wallet, digest: sha256(request.payload), path: request.path }
    const { body } = answerSign(agreeOnSigning(inputs, request, presignature), request, presignature)
    const sent = this.bends.signature?.(body, request) ?? body
    return this.#frame(FRAME_TYPES.SIGN_RESPONSE, NO_SID, frame.lEpoch, sent)
  }

  #frame(type: FrameType, sid: Uint8Array, lEpoch: number, body: Uint8Array): Uint8Array {
    return encodeFrame({ type, role: ROLE_S, linkId: this.two.linkS.parties.linkId, lEpoch, sid, body })
  }
}

const known = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('out of order')
  return value
}
