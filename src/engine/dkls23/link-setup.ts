/**
 * Link set-up, L1..L5 (docs/protocol.md §4.2), as pure steps. A step either returns the next message or throws a
 * ProtocolFault after wiping its state. Both sides commit the new lEpoch durably between the step that yields the
 * material and the message that follows it: C before it sends L5, S before it sends P2 of the self-test.
 *
 *   C: startLinkC → L1   advanceLinkC(L2) → L3   finishLinkC(L4) → material, conf_C   [commit]   encodeL5 → L5
 *   S: startLinkS(L1) → L2   advanceLinkS(L3) → L4   finishLinkS(L5) → material, P1   [commit]   P2
 *
 * The self-test is a presign session on the null slot and not part of this file.
 */
import { timingSafeEqual } from 'node:crypto'
import { concatBytes, readU32, u32, u8 } from '../hash/encoding.ts'
import { taggedHash } from '../hash/tagged-hash.ts'
import {
  answerBaseOt,
  type BaseOtReceiver,
  finishBaseOtReceiver,
  startBaseOtReceiver,
  wipeBaseOtReceiver,
} from './base-ot.ts'
import { directionSid, linkContext, linkContext0, type LinkParties, linkSid } from './contexts.ts'
import { benign, violation } from './fault.ts'
import { assertBodyLength, assertNoSid, assertSid, FRAME_TYPES, type SessionMessage } from './frame.ts'
import { type LinkMaterial, makeLinkMaterial, wipeLinkMaterial } from './link-material.ts'
import { guard, type OneShot, spend, type Wipeable, wipeable } from './one-shot.ts'
import { type Entropy, OperationGenerator } from './operation-generator.ts'
import { BASE_OT_BYTES, LINK_EPOCH_WINDOW, ROLE_C, ROLE_S, type Role } from './suite.ts'
import { emptyTranscript, extendTranscript } from './transcript.ts'

/** Why a set-up is made; the wire's u8 in L1. */
export const LINK_REASONS = { first: 1, boot: 2, count: 3, age: 4, erase: 5, relink: 6 } as const
export type LinkReason = keyof typeof LINK_REASONS

/** P1 of the self-test: one slot. */
const SELF_TEST_P1_BYTES = 86

export type LinkSetupInputs = {
  readonly link: LinkParties
  readonly entropy: Entropy
  /** hk of the material that is being replaced, when there is some. Only read. */
  readonly hk?: Uint8Array
}

type Common = OneShot & {
  readonly link: LinkParties
  readonly lEpoch: number
  readonly lctx0: Uint8Array
  readonly generator: OperationGenerator
}

/** C after L1. */
export type LinkC1 = Common & { readonly nonceC: Uint8Array; readonly tr: Uint8Array }

/** C after L3. */
export type LinkC3 = Common & {
  readonly sid: Uint8Array
  readonly tr: Uint8Array
  readonly receiver: BaseOtReceiver
  readonly seedPairs: Uint8Array
}

/** S after L2. */
export type LinkS2 = Common & {
  readonly sid: Uint8Array
  readonly tr: Uint8Array
  readonly receiver: BaseOtReceiver
}

/** S after L4. */
export type LinkS4 = Common & { readonly sid: Uint8Array; readonly material: LinkMaterial }

/**
 * C opens a set-up for `lEpoch`, which is above the durable epoch of both sides. Body: N_C ‖ u32 lEpoch ‖ u8
 * reason. The first frame has no sid; every later one has the link sid.
 */
export function startLinkC(
  inputs: LinkSetupInputs & { readonly lEpoch: number; readonly reason: LinkReason },
): { readonly state: LinkC1; readonly body: Uint8Array } {
  const { link, entropy, lEpoch } = inputs
  const nonceC = entropy.nonce32()
  const body = concatBytes(nonceC, u32(lEpoch), u8(LINK_REASONS[inputs.reason]))
  const common = openSetup(inputs, ROLE_C, lEpoch)
  const tr = extendTranscript(emptyTranscript(), ROLE_C, FRAME_TYPES.L1, body)
  return { state: { ...common, link, nonceC, tr }, body }
}

/**
 * S answers L1 with L2 = N_S ‖ base-OT step 1 for direction SC.
 * @param inputs.ownLEpoch the durable epoch of this side.
 * @throws ProtocolFault class A epoch_rejected unless own < lEpoch ≤ own + 1 024; class C: length, sid in the
 *   header, header and body disagree, unknown reason.
 */
export function startLinkS(
  inputs: LinkSetupInputs & { readonly ownLEpoch: number },
  message: SessionMessage & { readonly lEpoch: number },
): { readonly state: LinkS2; readonly body: Uint8Array; readonly reason: LinkReason } {
  const { lEpoch } = message
  assertNoSid(message.sid)
  if (lEpoch <= inputs.ownLEpoch || lEpoch > inputs.ownLEpoch + LINK_EPOCH_WINDOW) {
    throw benign('epoch_rejected', 'link epoch outside the window', u32(inputs.ownLEpoch))
  }
  const { nonceC, reason } = decodeL1(message.body, lEpoch)
  const nonceS = inputs.entropy.nonce32()
  const common = openSetup(inputs, ROLE_S, lEpoch)
  const tr1 = extendTranscript(emptyTranscript(), ROLE_C, FRAME_TYPES.L1, message.body)
  return guard([common.generator], () => {
    common.generator.mix(tr1)
    const sid = linkSid(common.lctx0, nonceC, nonceS)
    const receiver = startBaseOtReceiver(directionSid(sid, ROLE_S, ROLE_C), common.generator)
    const body = concatBytes(nonceS, receiver.points)
    const tr = extendTranscript(tr1, ROLE_S, FRAME_TYPES.L2, body)
    return { state: { ...common, sid, tr, receiver }, body, reason }
  })
}

/**
 * C answers L2 with L3 = base-OT step 1 for CS ‖ base-OT step 2 for SC.
 * @throws ProtocolFault class C: length, points; class A: the header's sid is not the recomputed one.
 */
export function advanceLinkC(
  state: LinkC1,
  message: SessionMessage,
): { readonly state: LinkC3; readonly body: Uint8Array } {
  spend(state)
  const { generator } = state
  const secrets: Wipeable[] = [generator]
  return guard(secrets, () => {
    assertBodyLength(message.body, 32 + BASE_OT_BYTES)
    const sid = linkSid(state.lctx0, state.nonceC, message.body.subarray(0, 32))
    assertSid(message.sid, sid)
    const tr2 = extendTranscript(state.tr, ROLE_S, FRAME_TYPES.L2, message.body)
    generator.mix(tr2)
    const receiver = startBaseOtReceiver(directionSid(sid, ROLE_C, ROLE_S), generator)
    secrets.push({ wipe: () => wipeBaseOtReceiver(receiver) })
    const { answer, seedPairs } = answerBaseOt(
      directionSid(sid, ROLE_S, ROLE_C),
      message.body.subarray(32),
      receiver.points,
      generator,
    )
    const body = concatBytes(receiver.points, answer)
    const tr = extendTranscript(tr2, ROLE_C, FRAME_TYPES.L3, body)
    const { link, lEpoch, lctx0 } = state
    return { state: { spent: false, link, lEpoch, lctx0, generator, sid, tr, receiver, seedPairs }, body }
  })
}

/**
 * S answers L3 with L4 = base-OT step 2 for CS ‖ conf_S. The material exists but may not be used before conf_C.
 * @throws ProtocolFault class C: length, points, a point of S's own step 1 returned to it.
 */
export function advanceLinkS(
  state: LinkS2,
  body3: Uint8Array,
): { readonly state: LinkS4; readonly body: Uint8Array } {
  spend(state)
  const { generator, receiver, sid, lctx0 } = state
  return guard([generator, { wipe: () => wipeBaseOtReceiver(receiver) }], () => {
    assertBodyLength(body3, 2 * BASE_OT_BYTES)
    const tr3 = extendTranscript(state.tr, ROLE_C, FRAME_TYPES.L3, body3)
    generator.mix(tr3)
    const points = body3.subarray(0, BASE_OT_BYTES)
    const id = directionSid(sid, ROLE_C, ROLE_S)
    const { answer, seedPairs } = answerBaseOt(id, points, receiver.points, generator)
    const chosenSeeds = finishOrWipe(receiver, body3.subarray(BASE_OT_BYTES), seedPairs)
    const ltr = extendTranscript(tr3, ROLE_S, FRAME_TYPES.L4, answer)
    const lctx = linkContext(lctx0, ltr)
    generator.wipe()
    const material = makeLinkMaterial({
      role: ROLE_S,
      lEpoch: state.lEpoch,
      lctx,
      delta: receiver.choices,
      chosenSeeds,
      seedPairs,
    })
    const { link, lEpoch } = state
    const next: LinkS4 = { spent: false, link, lEpoch, lctx0, generator, sid, material }
    return { state: next, body: concatBytes(answer, confOf(sid, ROLE_S, lctx)) }
  })
}

/**
 * C takes L4. The caller commits the new lEpoch durably, then sends L5 = encodeL5(confC, P1 of the self-test).
 * The material is READY for C only when P4 of the self-test verifies.
 * @throws ProtocolFault class C: length, points, conf_S.
 */
export function finishLinkC(
  state: LinkC3,
  body4: Uint8Array,
): { readonly material: LinkMaterial; readonly confC: Uint8Array; readonly sid: Uint8Array } {
  spend(state)
  const { receiver, sid, seedPairs, generator, lEpoch } = state
  const secrets: Wipeable[] = [generator, { wipe: () => wipeBaseOtReceiver(receiver) }, wipeable(seedPairs)]
  return guard(secrets, () => {
    assertBodyLength(body4, BASE_OT_BYTES + 32)
    const answer = body4.subarray(0, BASE_OT_BYTES)
    const chosenSeeds = finishBaseOtReceiver(receiver, answer)
    secrets.push(wipeable(chosenSeeds))
    const lctx = linkContext(state.lctx0, extendTranscript(state.tr, ROLE_S, FRAME_TYPES.L4, answer))
    assertConf(body4.subarray(BASE_OT_BYTES), confOf(sid, ROLE_S, lctx))
    generator.wipe()
    const delta = receiver.choices
    const material = makeLinkMaterial({ role: ROLE_C, lEpoch, lctx, delta, chosenSeeds, seedPairs })
    return { material, confC: confOf(sid, ROLE_C, lctx), sid }
  })
}

/** L5 = conf_C ‖ body of P1 of the self-test. Its frame has the link sid. */
export function encodeL5(confC: Uint8Array, selfTestP1: Uint8Array): Uint8Array {
  if (confC.length !== 32 || selfTestP1.length !== SELF_TEST_P1_BYTES) throw new RangeError('L5 has 118 bytes')
  return concatBytes(confC, selfTestP1)
}

/**
 * S takes L5. The caller commits the new lEpoch durably, then answers `p1` as the self-test's P1 (transcript type
 * 0x10). The material is READY for S when P4 was sent.
 * @throws ProtocolFault class C: length, conf_C.
 */
export function finishLinkS(
  state: LinkS4,
  body5: Uint8Array,
): { readonly material: LinkMaterial; readonly p1: Uint8Array; readonly sid: Uint8Array } {
  spend(state)
  const { material, sid } = state
  return guard([{ wipe: () => wipeLinkMaterial(material) }], () => {
    assertBodyLength(body5, 32 + SELF_TEST_P1_BYTES)
    assertConf(body5.subarray(0, 32), confOf(sid, ROLE_C, material.lctx))
    return { material, p1: body5.slice(32), sid }
  })
}

/** Ends a set-up that will not go on (timeout, disconnect): every secret of the state is overwritten. */
export function abandonLinkSetup(state: LinkC1 | LinkC3 | LinkS2 | LinkS4): void {
  if (state.spent) return
  state.spent = true
  state.generator.wipe()
  if ('receiver' in state) wipeBaseOtReceiver(state.receiver)
  if ('seedPairs' in state) state.seedPairs.fill(0)
  if ('material' in state) wipeLinkMaterial(state.material)
}

function openSetup(inputs: LinkSetupInputs, role: Role, lEpoch: number): Common {
  const { link } = inputs
  const lctx0 = linkContext0(link, lEpoch)
  const generator = new OperationGenerator(inputs.entropy, {
    op: 'link',
    idOwn: role === ROLE_C ? link.idC : link.idS,
    role,
    context: lctx0,
    ...(inputs.hk === undefined ? {} : { hk: inputs.hk }),
  })
  return { spent: false, link, lEpoch, lctx0, generator }
}

function decodeL1(body: Uint8Array, headerEpoch: number): { nonceC: Uint8Array; reason: LinkReason } {
  assertBodyLength(body, 37)
  if (readU32(body, 32) !== headerEpoch) throw violation('L1 epoch differs from its header')
  const reason = (Object.keys(LINK_REASONS) as LinkReason[]).find((name) => LINK_REASONS[name] === body[36])
  if (reason === undefined) throw violation('L1 reason')
  return { nonceC: body.subarray(0, 32), reason }
}

function confOf(sid: Uint8Array, role: Role, lctx: Uint8Array): Uint8Array {
  return taggedHash('link/conf', sid, u8(role), lctx)
}

function assertConf(got: Uint8Array, expected: Uint8Array): void {
  if (!timingSafeEqual(got, expected)) throw violation('link confirmation')
}

function finishOrWipe(receiver: BaseOtReceiver, answer: Uint8Array, seedPairs: Uint8Array): Uint8Array {
  try {
    return finishBaseOtReceiver(receiver, answer)
  } catch (error) {
    seedPairs.fill(0)
    throw error
  }
}
