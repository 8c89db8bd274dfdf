/**
 * The Ed25519 presign session (docs/protocol.md §18): two messages, B nonce pairs of each party, several wallets.
 * Pure steps; a step returns the next message or throws a ProtocolFault after it has overwritten its secrets.
 *
 *   C: startEdPresignC → E1     finishEdPresignC(E2) → presignatures
 *   S: answerEdPresign(E1) → E2, presignatures (usable once E2 is sent)
 *
 * No link material and no lock of it: key shares are read only to feed the operation generator and to find a
 * damaged record before anything is sent.
 */
import { timingSafeEqual } from 'node:crypto'
import { ED25519_GROUP } from '../curve/group.ts'
import { mulBase } from '../curve/ed25519.ts'
import { type LinkParties, planOf, walletContext } from '../dkls23/contexts.ts'
import { violation } from '../dkls23/fault.ts'
import { assertBodyLength, assertSid, FRAME_TYPES, type SessionMessage } from '../dkls23/frame.ts'
import { guard, type OneShot, spend, type Wipeable, wipeable } from '../dkls23/one-shot.ts'
import { type Entropy, OperationGenerator } from '../dkls23/operation-generator.ts'
import { copyShares, type PresignSlot, resolvePlan, type SlotName } from '../dkls23/presign-plan.ts'
import type { WalletRecord } from '../dkls23/records.ts'
import { encodeSlotNames, readSlotNames } from '../dkls23/slot-names.ts'
import { ALG_ED25519, MAX_SLOTS, NONCE_BYTES, ROLE_C, ROLE_S, type Role, SHORT_ID_BYTES } from '../dkls23/suite.ts'
import { emptyTranscript, extendTranscript } from '../dkls23/transcript.ts'
import { BodyReader } from '../dkls23/wire.ts'
import { ascii, concatBytes, equalBytes, u16, u8 } from '../hash/encoding.ts'
import { taggedHash } from '../hash/tagged-hash.ts'
import type { NonceCommitments } from './ciphersuite.ts'
import { type EdPresignature, wipeEdPresignature } from './presignature.ts'

export type EdPresignInputs = {
  readonly link: LinkParties
  readonly entropy: Entropy
  /** The durable link epoch; S has compared the header's with its own. */
  readonly lEpoch: number
  /** hk of the live link material, when there is some. Only read. */
  readonly hk?: Uint8Array
}

/** An own nonce pair with its commitments. */
type NoncePair = NonceCommitments & { readonly d: Uint8Array; readonly e: Uint8Array }

/** C after E1. */
export type EdPresignC1 = OneShot & {
  readonly inputs: EdPresignInputs
  readonly slots: readonly PresignSlot[]
  readonly plan: Uint8Array
  readonly own: readonly NoncePair[]
  readonly nonceC: Uint8Array
  readonly tr: Uint8Array
}

export type EdPresignResult = { readonly sid: Uint8Array; readonly presignatures: readonly EdPresignature[] }

/**
 * The slot of an Ed25519 wallet, or undefined when it may not presign: another algorithm, link or role, not
 * ACTIVE, or a record younger than the link epoch.
 */
export function edSlotOf(
  link: LinkParties,
  role: Role,
  lEpoch: number,
  record: WalletRecord,
): PresignSlot | undefined {
  const { walletId, wEpoch, pointC, pointS, share } = record
  if (record.alg !== ALG_ED25519 || record.role !== role || record.state !== 'ACTIVE') return undefined
  if (!equalBytes(record.linkId, link.linkId) || record.minLinkEpoch > lEpoch) return undefined
  return { walletId, wEpoch, wctx: walletContext(link, record), pointC, pointS, share }
}

/**
 * C opens a session over its own slots, 1 to 64. E1 = N_C ‖ u16 B ‖ B×(walletId ‖ u32 wEpoch) ‖ B×(D_C ‖ E_C).
 * @throws ProtocolFault class B when an own share does not prove its own point; nothing was sent then.
 */
export function startEdPresignC(
  inputs: EdPresignInputs,
  slots: readonly PresignSlot[],
): { readonly state: EdPresignC1; readonly body: Uint8Array } {
  if (slots.length < 1 || slots.length > MAX_SLOTS) throw new RangeError('1 to 64 slots')
  const nonceC = inputs.entropy.nonce32()
  const generator = openGenerator(inputs, slots, ROLE_C)
  try {
    const own = drawPairs(generator, slots.length)
    const body = concatBytes(encodeSlotNames(nonceC, slots), encodePairs(own))
    const tr = extendTranscript(emptyTranscript(), ROLE_C, FRAME_TYPES.E1, body)
    const kept = slots.map((slot) => ({ ...slot, share: new Uint8Array(0) }))
    return { state: { spent: false, inputs, slots: kept, plan: planOfSlots(slots), own, nonceC, tr }, body }
  } finally {
    generator.wipe()
  }
}

/**
 * S answers E1 with E2 = N_S ‖ B×(D_S ‖ E_S) ‖ conf_S.
 * @param inputs.resolve the slot of an own record (`edSlotOf`), undefined for what may not presign now.
 * @throws ProtocolFault class C: sid in the header, number of slots, length, a point that is not valid or comes
 *   twice; class A plan_refused with the numbers of the refused slots; class B: own share.
 */
export function answerEdPresign(
  inputs: EdPresignInputs & { readonly resolve: (name: SlotName) => PresignSlot | undefined },
  message: SessionMessage,
): EdPresignResult & { readonly body: Uint8Array } {
  const e1 = decodeE1(message)
  const slots = resolvePlan(e1, inputs.resolve)
  const nonceS = inputs.entropy.nonce32()
  const generator = openGenerator(inputs, slots, ROLE_S)
  try {
    const tr1 = extendTranscript(emptyTranscript(), ROLE_C, FRAME_TYPES.E1, message.body)
    generator.mix(tr1)
    const own = drawPairs(generator, slots.length)
    return guard(own.map(wipeablePair), () => {
      const sid = edPresignSid(inputs.link, e1.nonceC, nonceS, planOfSlots(slots), e1.peer)
      const opened = concatBytes(nonceS, encodePairs(own))
      const tr = extendTranscript(tr1, ROLE_S, FRAME_TYPES.E2, opened)
      const presignatures = collect(inputs, ROLE_S, slots, sid, own, e1.peer)
      return { sid, presignatures, body: concatBytes(opened, confOf(sid, tr)) }
    })
  } finally {
    generator.wipe()
  }
}

/**
 * The slots that E1 names, so that their records can be read before it is answered.
 * @throws ProtocolFault class C: sid in the header, number of slots, length.
 */
export function slotNamesInE1(message: SessionMessage): readonly SlotName[] {
  return openE1(message).names
}

/**
 * C takes E2. Unless it returns, the whole session is gone.
 * @throws ProtocolFault class C: length, a point that is not valid or comes twice, conf; class A: sid.
 */
export function finishEdPresignC(state: EdPresignC1, message: SessionMessage): EdPresignResult {
  spend(state)
  const { inputs, slots, own } = state
  return guard(own.map(wipeablePair), () => {
    const { body } = message
    assertBodyLength(body, 2 * NONCE_BYTES + 64 * slots.length)
    const nonceS = body.slice(0, NONCE_BYTES)
    const sid = edPresignSid(inputs.link, state.nonceC, nonceS, state.plan, own)
    assertSid(message.sid, sid)
    const opened = body.subarray(0, body.length - 32)
    const reader = new BodyReader(opened.subarray(NONCE_BYTES))
    const peer = readPairs(reader, slots.length)
    reader.end()
    assertDistinct([...own, ...peer])
    const tr = extendTranscript(state.tr, ROLE_S, FRAME_TYPES.E2, opened)
    if (!timingSafeEqual(body.subarray(opened.length), confOf(sid, tr))) throw violation('presign confirmation')
    return { sid, presignatures: collect(inputs, ROLE_C, slots, sid, own, peer) }
  })
}

/** Ends a session that will not go on: every nonce is overwritten. Idempotent. */
export function abandonEdPresign(state: EdPresignC1): void {
  if (state.spent) return
  state.spent = true
  for (const pair of state.own) wipeablePair(pair).wipe()
}

/** Overwrites presignatures that are not kept. */
export function wipeEdPresignatures(presignatures: readonly EdPresignature[]): void {
  for (const presignature of presignatures) wipeEdPresignature(presignature)
}

/** ed/ctx: the link without its epoch; an Ed25519 presignature depends on no material. */
function edContext(link: LinkParties): Uint8Array {
  return taggedHash('ed/ctx', link.linkId, link.idC, link.idS)
}

/** sid = TH("sid"; ed/ctx, "ed-presign", N_C, N_S, u16 B, plan, TH("ed/dc"; D_C‖E_C…)). */
export function edPresignSid(
  link: LinkParties,
  nonceC: Uint8Array,
  nonceS: Uint8Array,
  plan: Uint8Array,
  fromC: readonly NonceCommitments[],
): Uint8Array {
  const dc = taggedHash('ed/dc', encodePairs(fromC))
  return taggedHash('sid', edContext(link), ascii('ed-presign'), nonceC, nonceS, u16(fromC.length), plan, dc)
}

/** presigId = TH("ed/presig"; sid, u16 idx)[0..16]. */
export function edPresigIdOf(sid: Uint8Array, index: number): Uint8Array {
  return taggedHash('ed/presig', sid, u16(index)).subarray(0, SHORT_ID_BYTES)
}

/** The session's copy of the shares is verified against the pinned points, hashed into the generator and wiped. */
function openGenerator(inputs: EdPresignInputs, slots: readonly PresignSlot[], role: Role): OperationGenerator {
  const { link, hk } = inputs
  const shares = copyShares(role, slots, ED25519_GROUP)
  try {
    return new OperationGenerator(inputs.entropy, {
      op: 'ed-presign',
      idOwn: role === ROLE_C ? link.idC : link.idS,
      role,
      context: edContext(link),
      walletContexts: slots.map(({ wctx }) => wctx),
      ownShares: [shares],
      ...(hk === undefined ? {} : { hk }),
    })
  } finally {
    wipeable(shares).wipe()
  }
}

function drawPairs(generator: OperationGenerator, count: number): NoncePair[] {
  return Array.from({ length: count }, () => {
    const d = generator.nonZeroScalar(ED25519_GROUP)
    const e = generator.nonZeroScalar(ED25519_GROUP)
    return { d, e, hiding: mulBase(d), binding: mulBase(e) }
  })
}

function encodePairs(pairs: readonly NonceCommitments[]): Uint8Array {
  return concatBytes(...pairs.flatMap(({ hiding, binding }) => [hiding, binding]))
}

/** B valid pairs, copied: they outlive the frame. */
function readPairs(reader: BodyReader, count: number): NonceCommitments[] {
  const read = () => reader.point(ED25519_GROUP).slice()
  return Array.from({ length: count }, () => ({ hiding: read(), binding: read() }))
}

type E1 = {
  readonly nonceC: Uint8Array
  readonly names: readonly SlotName[]
  readonly peer: readonly NonceCommitments[]
}

function decodeE1(message: SessionMessage): E1 {
  const { nonce, names, rest } = openE1(message)
  const peer = readPairs(rest, names.length)
  rest.end()
  assertDistinct(peer)
  return { nonceC: nonce.slice(), names, peer }
}

/** All of E1 in front of the nonce commitments, where the reader stands. */
const openE1 = (message: SessionMessage) => readSlotNames(FRAME_TYPES.E1, message, MAX_SLOTS)

/** No nonce commitment of a session comes twice. @throws ProtocolFault class C. */
function assertDistinct(pairs: readonly NonceCommitments[]): void {
  const points = pairs.flatMap(({ hiding, binding }) => [hiding, binding])
  const seen = new Set(points.map((point) => Buffer.from(point).toString('latin1')))
  if (seen.size !== points.length) throw violation('a nonce commitment is repeated')
}

function collect(
  inputs: EdPresignInputs,
  role: Role,
  slots: readonly PresignSlot[],
  sid: Uint8Array,
  own: readonly NoncePair[],
  peer: readonly NonceCommitments[],
): readonly EdPresignature[] {
  const { link, lEpoch } = inputs
  return slots.map(({ walletId, wEpoch }, index) => {
    const [mine, theirs] = [own[index], peer[index]]
    if (mine === undefined || theirs === undefined) throw new RangeError('a pair for each slot')
    const { d, e, ...commitments } = mine
    return {
      spent: false,
      linkId: link.linkId,
      lEpoch,
      walletId,
      wEpoch,
      sid,
      index,
      presigId: edPresigIdOf(sid, index),
      commitments: role === ROLE_C ? { c: commitments, s: theirs } : { c: theirs, s: commitments },
      hidingNonce: d,
      bindingNonce: e,
    }
  })
}

function planOfSlots(slots: readonly PresignSlot[]): Uint8Array {
  return planOf(slots.map(({ wctx }) => wctx))
}

/** conf = TH("presign/conf"; sid, S, tr), tr over E1 and E2 without the conf. */
function confOf(sid: Uint8Array, tr: Uint8Array): Uint8Array {
  return taggedHash('presign/conf', sid, u8(ROLE_S), tr)
}

function wipeablePair({ d, e }: NoncePair): Wipeable {
  return {
    wipe: () => {
      d.fill(0)
      e.fill(0)
    },
  }
}
