import {
  decodeError,
  decodeFrame,
  encodeFrame,
  type ErrorMessage,
  type Frame,
  FRAME_TYPES,
  type FrameType,
  NO_SID,
} from '../../src/engine/dkls23/frame.ts'
import { directionSid } from '../../src/engine/dkls23/contexts.ts'
import type { LinkMaterial } from '../../src/engine/dkls23/link-material.ts'
import {
  advanceLinkC,
  encodeL5,
  finishLinkC,
  type LinkC1,
  type LinkReason,
  startLinkC,
} from '../../src/engine/dkls23/link-setup.ts'
import {
  advancePresignC,
  finishPresignC,
  type PresignC1,
  type PresignC3,
  startPresignC,
} from '../../src/engine/dkls23/presign.ts'
import { type PresignSlot, presignSlotOf } from '../../src/engine/dkls23/presign-plan.ts'
import type { Presignature } from '../../src/engine/dkls23/presignature.ts'
import { oteMessageBytes, ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { extendTranscript } from '../../src/engine/dkls23/transcript.ts'
import { bitOf } from '../engine/bigint-reference.ts'
import { referenceExtend, referenceOteMessage } from '../engine/multiplication-reference.ts'
import { entropy, type TwoParties } from './two-parties.ts'

export type Answer = Frame & { readonly refusal: ErrorMessage | undefined; readonly bytes: Uint8Array }
type Bend<State> = (body: Uint8Array, state: State) => Uint8Array
export type SetUpBends = {
  readonly L1?: Bend<LinkC1>
  /** With L2, which it may repeat. The own transcript takes what is sent. */
  readonly L3?: Bend<Uint8Array>
  readonly L5?: Bend<LinkMaterial>
  readonly P3?: Bend<PresignC3>
}

/** A party C gone wrong: it has C's shares and material and says to S what it likes. */
export class MaliciousC {
  readonly two: TwoParties
  /** Its own view of the material; that of the honest C unless it made another. */
  material: LinkMaterial | undefined

  constructor(two: TwoParties) {
    this.two = two
    this.material = two.linkC.material === undefined ? undefined : structuredClone(two.linkC.material)
  }

  get mine(): LinkMaterial {
    if (this.material === undefined) throw new Error('no material')
    return this.material
  }

  async send(type: FrameType, sid: Uint8Array, lEpoch: number, body: Uint8Array): Promise<Answer> {
    const { linkId } = this.two.linkC.parties
    const bytes = await this.two.s.answer(encodeFrame({ type, role: ROLE_C, linkId, lEpoch, sid, body }))
    if (bytes === undefined) throw new Error('S has no answer')
    const frame = decodeFrame(bytes, ROLE_S)
    return { ...frame, bytes, refusal: frame.type === FRAME_TYPES.ERROR ? decodeError(frame.body) : undefined }
  }

  async slots(walletIds: readonly Uint8Array[]): Promise<PresignSlot[]> {
    const { linkC, storeC } = this.two
    return Promise.all(
      walletIds.map(async (walletId) => {
        const record = await storeC.loadWallet(walletId)
        const slot = record && presignSlotOf(linkC.parties, this.mine, record)
        if (slot === undefined) throw new Error('not a wallet to presign for')
        return slot
      }),
    )
  }

  /** P1 and S's P2. */
  async begin(walletIds: readonly Uint8Array[], change: (slots: PresignSlot[]) => PresignSlot[] = (slots) => slots) {
    const slots = change(await this.slots(walletIds))
    const { linkC } = this.two
    const c1 = startPresignC({ link: linkC.parties, material: this.mine, entropy, slots })
    const p2 = await this.send(FRAME_TYPES.P1, NO_SID, this.mine.lEpoch, c1.body)
    return { c1: c1.state, p1: c1.body, p2 }
  }

  /** …and the P3 that an honest C would send now. */
  async untilP3(walletIds: readonly Uint8Array[], meddle: (state: PresignC1) => void = () => {}) {
    const { c1, p1, p2 } = await this.begin(walletIds)
    if (p2.refusal !== undefined) throw new Error(`P1 was refused: ${p2.refusal.code}`)
    meddle(c1)
    const { state, body, sid } = advancePresignC(c1, p2)
    return { p1, p2, state, body, sid, extension: oteMessageBytes(walletIds.length) }
  }

  sendP3(sid: Uint8Array, body: Uint8Array): Promise<Answer> {
    return this.send(FRAME_TYPES.P3, sid, this.mine.lEpoch, body)
  }

  finish(state: PresignC3, p4: Answer): readonly Presignature[] {
    return finishPresignC(state, p4.body).presignatures
  }

  /** A whole set-up with its self-test, bent where asked. Gives S's last answer. */
  async setUp(reason: LinkReason, lEpoch: number, bends: SetUpBends = {}): Promise<Answer> {
    const { parties } = this.two.linkC
    const { L1, L2, L3, L5, P3 } = FRAME_TYPES
    const c1 = startLinkC({ link: parties, entropy, lEpoch, reason })
    const l2 = await this.send(L1, NO_SID, lEpoch, bends.L1?.(c1.body, c1.state) ?? c1.body)
    if (l2.refusal !== undefined) return l2
    const tr1 = c1.state.tr
    const c3 = advanceLinkC(c1.state, l2)
    const l3 = bends.L3?.(c3.body, l2.body) ?? c3.body
    const tr = extendTranscript(extendTranscript(tr1, ROLE_S, L2, l2.body), ROLE_C, L3, l3)
    const l4 = await this.send(L3, l2.sid, lEpoch, l3)
    if (l4.refusal !== undefined) return l4
    const { material, confC } = finishLinkC({ ...c3.state, tr }, l4.body)
    this.material = structuredClone(material)
    const p1 = startPresignC({ link: parties, material, entropy, slots: 'self-test' })
    const l5 = encodeL5(confC, p1.body)
    const p2 = await this.send(L5, l2.sid, lEpoch, bends.L5?.(l5, material) ?? l5)
    if (p2.refusal !== undefined) return p2
    const p3 = advancePresignC(p1.state, p2)
    return this.send(P3, p3.sid, lEpoch, bends.P3?.(p3.body, p3.state) ?? p3.body)
  }
}

/** The extension with one bit of row `i` flipped and χ, x̂, t̂ made anew: a bet that bit `i` of the peer's Δ is 0. */
export const betOnRow = (state: PresignC3, body: Uint8Array, rows: readonly number[]): Uint8Array => {
  const id = directionSid(state.sid, ROLE_S, ROLE_C)
  const { choices } = state.secrets
  const { u, t } = referenceExtend(id, state.material.seedPairs, choices)
  const bet = u.map((row, k) => (rows.includes(k) ? row.map((byte, at) => (at === 5 ? byte ^ 4 : byte)) : row))
  const out = body.slice()
  out.set(referenceOteMessage(id, bet, t, choices), 0)
  return out
}

export const deltaBit = (material: LinkMaterial, i: number): number => bitOf(material.delta, i)

export const flipped = (body: Uint8Array, at: number, mask = 1): Uint8Array => {
  const out = body.slice()
  out[at] = (out[at] ?? 0) ^ mask
  return out
}

export const replaced = (body: Uint8Array, at: number, value: Uint8Array): Uint8Array => {
  const out = body.slice()
  out.set(value, at)
  return out
}
