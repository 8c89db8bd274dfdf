/**
 * The presign session (docs/protocol.md §9): four messages, B slots, several wallets, all or nothing. Pure steps;
 * a step returns the next message or throws a ProtocolFault after it has overwritten the session's secrets.
 *
 *   C: startPresignC → P1     advancePresignC(P2) → P3               finishPresignC(P4) → presignatures
 *   S: startPresignS(P1) → P2     advancePresignS(P3) → P4, presignatures
 *
 * Order of checks: everything that is class C over the whole message, then everything that is class D. A fault of
 * class D burns the link durably before any answer; the caller does that, and nothing may cancel it.
 *
 * The self-test of a link set-up is the same session on one null slot: the share is a fresh z, Z_i is opened with
 * R_i in the place of a pinned X, and nothing comes out (§4.2).
 */
import { timingSafeEqual } from 'node:crypto'
import { compressPoint, decompress } from '../curve/secp256k1.ts'
import { concatBytes, u8 } from '../hash/encoding.ts'
import { taggedHash } from '../hash/tagged-hash.ts'
import {
  directionSid,
  type LinkParties,
  nonceContext,
  nullWalletContext,
  planOf,
  presigIdOf,
  presignSid,
} from './contexts.ts'
import { cheating, degenerate, ProtocolFault, violation } from './fault.ts'
import { allocateBody, assertBodyLength, assertSid, FRAME_TYPES, NO_SID, type SessionMessage } from './frame.ts'
import type { LinkMaterial } from './link-material.ts'
import { guard, type OneShot, spend, type Wipeable, wipeable } from './one-shot.ts'
import { type Entropy, OperationGenerator } from './operation-generator.ts'
import { oteReceive, oteSend } from './ot-extension.ts'
import {
  checkHalf,
  commitHalf,
  decodeHalf,
  drawChoices,
  finishSlot,
  halfBytes,
  type HalfSecrets,
  openHalf,
  type OwnOpening,
  type PeerHalf,
  sendHalf,
  sumNoncePoints,
  wipeHalf,
} from './presign-half.ts'
import {
  assertSelfTestPlan,
  copyShares,
  decodeP1,
  encodeP1,
  type PresignSlot,
  resolvePlan,
  type SlotName,
} from './presign-plan.ts'
import type { Presignature } from './presignature.ts'
import { MAX_SLOTS, NONCE_BYTES, oteMessageBytes, ROLE_C, ROLE_S, type Role } from './suite.ts'
import { emptyTranscript, extendTranscript } from './transcript.ts'

export type PresignInputs = {
  readonly link: LinkParties
  /** Only read; wiped by its owner, never while a step runs. */
  readonly material: LinkMaterial
  readonly entropy: Entropy
}

/** The slots of a session: own records' views, or the null slot of a link's self-test. */
export type PresignSlots = readonly PresignSlot[] | 'self-test'

type Session = OneShot & {
  readonly link: LinkParties
  readonly material: LinkMaterial
  readonly slots: PresignSlots
  readonly count: number
  readonly plan: Uint8Array
  readonly generator: OperationGenerator
  readonly secrets: HalfSecrets
  readonly opening: OwnOpening
  readonly nonceC: Uint8Array
  readonly comC: Uint8Array
  readonly tr: Uint8Array
}

/** C after P1. */
export type PresignC1 = Session & { readonly step: 'C1' }

/** C after P3. */
export type PresignC3 = Session & {
  readonly step: 'C3'
  readonly sid: Uint8Array
  readonly nonceS: Uint8Array
  readonly comS: Uint8Array
}

/** S after P2. */
export type PresignS2 = Session & { readonly step: 'S2'; readonly sid: Uint8Array; readonly nonceS: Uint8Array }

/** What a finished session gives: B presignatures, none after a self-test. */
export type PresignResult = { readonly sid: Uint8Array; readonly presignatures: readonly Presignature[] }

/**
 * C opens a session over its own slots, 1 to 64. The first frame has no sid.
 * @throws ProtocolFault class B when an own share does not prove its own point; nothing was sent then.
 */
export function startPresignC(
  inputs: PresignInputs & { readonly slots: PresignSlots },
): { readonly state: PresignC1; readonly body: Uint8Array } {
  const { slots, material } = inputs
  const nonceC = inputs.entropy.nonce32()
  const { count, plan, shares, generator } = openSession(inputs, slots, ROLE_C)
  const secretsHeld: Wipeable[] = [generator, wipeableShares(shares)]
  return guard(secretsHeld, () => {
    const { secrets, opening } = openHalf(generator, count, shares)
    secretsHeld.push({ wipe: () => wipeHalf(secrets) })
    const comC = commitHalf(ROLE_C, nonceContext(material.lctx, nonceC, plan), opening, secrets.salt)
    const body = encodeP1(nonceC, slots, comC)
    const tr = extendTranscript(emptyTranscript(), ROLE_C, FRAME_TYPES.P1, body)
    const { link } = inputs
    const held = { generator, secrets, opening }
    const common = { spent: false, link, material, slots, count, plan, ...held, nonceC, comC, tr }
    return { state: { ...common, step: 'C1' }, body }
  })
}

/**
 * S answers P1 with P2 = N_S ‖ com_S ‖ OT extension as receiver.
 * @param inputs.resolve the slot of an own record (`presignSlotOf`), undefined for what may not presign now.
 * @throws ProtocolFault class C: sid in the header, number of slots, length; class A plan_refused; class B own
 * share.
 */
export function startPresignS(
  inputs: PresignInputs & { readonly resolve: (name: SlotName) => PresignSlot | undefined },
  message: SessionMessage,
): { readonly state: PresignS2; readonly body: Uint8Array; readonly sid: Uint8Array } {
  const p1 = decodeP1(message)
  return answerP1(inputs, resolvePlan(p1, inputs.resolve), message.body)
}

/**
 * As `startPresignS` for the P1 that L5 carries. @throws ProtocolFault class C unless it names the null slot
 * alone.
 */
export function startSelfTestS(
  inputs: PresignInputs,
  p1Body: Uint8Array,
): { readonly state: PresignS2; readonly body: Uint8Array; readonly sid: Uint8Array } {
  assertSelfTestPlan(decodeP1({ sid: NO_SID, body: p1Body }))
  return answerP1(inputs, 'self-test', p1Body)
}

/**
 * C takes P2 and answers P3 = OT extension as receiver ‖ half.
 * @throws ProtocolFault class C: length; class A: sid; class D: the OT extension's check; class B: degenerate
 * values.
 */
export function advancePresignC(
  state: PresignC1,
  message: SessionMessage,
): { readonly state: PresignC3; readonly body: Uint8Array; readonly sid: Uint8Array } {
  spend(state)
  const { material, generator, secrets, count, opening } = state
  const held: Wipeable[] = sessionSecrets(state)
  return guard(held, () => {
    const { body: p2 } = message
    assertBodyLength(p2, 2 * NONCE_BYTES + oteMessageBytes(count))
    const nonceS = p2.slice(0, NONCE_BYTES)
    const comS = p2.slice(NONCE_BYTES, 2 * NONCE_BYTES)
    const sid = presignSid(material.lctx, state.nonceC, nonceS, count, state.plan, state.comC)
    assertSid(message.sid, sid)
    const sending = directionSid(sid, ROLE_C, ROLE_S)
    const rows = acceptExtension(material, sending, count, p2.subarray(2 * NONCE_BYTES))
    held.push(wipeable(rows))
    const tr2 = extendTranscript(state.tr, ROLE_S, FRAME_TYPES.P2, p2)
    const body = ownFault(() => {
      generator.mix(tr2)
      const extension = receiveExtension(state, directionSid(sid, ROLE_S, ROLE_C))
      const out = allocateBody(extension.length + halfBytes(count, isSelfTest(state)))
      out.set(extension, 0)
      const sender = { id: sending, delta: material.delta, rows }
      sendHalf(secrets, generator, opening, sender, out.subarray(extension.length))
      return out
    })
    rows.fill(0)
    generator.wipe()
    const tr = extendTranscript(tr2, ROLE_C, FRAME_TYPES.P3, body)
    return { state: { ...state, spent: false, step: 'C3', sid, nonceS, comS, tr }, body, sid }
  })
}

/**
 * S takes P3, checks it, and answers P4 = half ‖ conf. It may use the presignatures once P4 is sent.
 * @throws ProtocolFault class C: length, scalars, points, opening; class D: OT extension, μ, (u), (v); class B: R.
 */
export function advancePresignS(
  state: PresignS2,
  p3: Uint8Array,
): PresignResult & { readonly body: Uint8Array } {
  spend(state)
  const { material, generator, secrets, count, opening, sid } = state
  const held: Wipeable[] = sessionSecrets(state)
  return guard(held, () => {
    const extensionBytes = oteMessageBytes(count)
    assertBodyLength(p3, extensionBytes + halfBytes(count, isSelfTest(state)))
    const context = nonceContext(material.lctx, state.nonceC, state.plan)
    const peer = decodePeer(state, p3.subarray(extensionBytes), ROLE_C, context, state.comC)

    const sending = directionSid(sid, ROLE_S, ROLE_C)
    const checks = () => {
      const message = p3.subarray(0, extensionBytes)
      const extension = oteSend(sending, count, material.chosenSeeds, material.delta, message)
      held.push(wipeable(extension.rows))
      const half = checkHalf(secrets, directionSid(sid, ROLE_C, ROLE_S), peer, pinnedPoints(state, peer))
      held.push(wipeable(half.received))
      return { accepted: extension.accepted && half.accepted, rows: extension.rows, received: half.received }
    }
    const { rows, received } = classD(checks)

    const tr3 = extendTranscript(state.tr, ROLE_C, FRAME_TYPES.P3, p3)
    const body = allocateBody(halfBytes(count, isSelfTest(state)) + 32)
    const half = body.subarray(0, -32)
    const presignatures = ownFault(() => {
      const points = sumNoncePoints(opening.noncePoints, peer.noncePoints)
      generator.mix(tr3)
      sendHalf(secrets, generator, opening, { id: sending, delta: material.delta, rows }, half)
      return collect(state, sid, points, peer.psi, received)
    })
    const tr = extendTranscript(tr3, ROLE_S, FRAME_TYPES.P4, half)
    body.set(confOf(sid, tr), half.length)
    endSession(held)
    return { sid, body, presignatures }
  })
}

/**
 * C takes P4. Unless it returns, the whole session is gone.
 * @throws ProtocolFault class C: length, scalars, points, opening, conf; class D: μ, (u), (v); class B: R.
 */
export function finishPresignC(state: PresignC3, p4: Uint8Array): PresignResult {
  spend(state)
  const { material, secrets, count, opening, sid } = state
  const held: Wipeable[] = sessionSecrets(state)
  return guard(held, () => {
    const bytes = halfBytes(count, isSelfTest(state))
    assertBodyLength(p4, bytes + 32)
    const half = p4.subarray(0, bytes)
    const context = nonceContext(material.lctx, state.nonceC, state.nonceS, state.plan)
    const peer = decodePeer(state, half, ROLE_S, context, state.comS)
    const tr = extendTranscript(state.tr, ROLE_S, FRAME_TYPES.P4, half)
    if (!timingSafeEqual(p4.subarray(bytes), confOf(sid, tr))) throw violation('presign confirmation')

    const { received } = classD(() => {
      const verdict = checkHalf(secrets, directionSid(sid, ROLE_S, ROLE_C), peer, pinnedPoints(state, peer))
      held.push(wipeable(verdict.received))
      return verdict
    })
    const presignatures = ownFault(() => {
      const points = sumNoncePoints(opening.noncePoints, peer.noncePoints)
      return collect(state, sid, points, peer.psi, received)
    })
    endSession(held)
    return { sid, presignatures }
  })
}

/** Ends a session that will not go on (deadline, disconnect, freeze): every secret is overwritten. Idempotent. */
export function abandonPresign(state: PresignC1 | PresignC3 | PresignS2): void {
  if (state.spent) return
  state.spent = true
  endSession(sessionSecrets(state))
}

function openSession(
  inputs: PresignInputs,
  slots: PresignSlots,
  role: Role,
): {
  readonly count: number
  readonly plan: Uint8Array
  readonly shares: Uint8Array | 'self-test'
  readonly generator: OperationGenerator
} {
  const { link, material } = inputs
  const selfTest = slots === 'self-test'
  if (material.role !== role) throw new RangeError('the material belongs to the other role')
  if (!selfTest && (slots.length < 1 || slots.length > MAX_SLOTS)) throw new RangeError('1 to 64 slots')
  const contexts = selfTest ? [nullWalletContext(material.lctx)] : slots.map((slot) => slot.wctx)
  const shares = selfTest ? slots : copyShares(role, slots)
  return guard([wipeableShares(shares)], () => {
    const generator = new OperationGenerator(inputs.entropy, {
      op: 'presign',
      idOwn: role === ROLE_C ? link.idC : link.idS,
      role,
      context: material.lctx,
      walletContexts: contexts,
      ownShares: shares === 'self-test' ? [] : [shares],
      hk: material.hk,
    })
    return { count: contexts.length, plan: planOf(contexts), shares, generator }
  })
}

function answerP1(
  inputs: PresignInputs,
  slots: PresignSlots,
  p1Body: Uint8Array,
): { readonly state: PresignS2; readonly body: Uint8Array; readonly sid: Uint8Array } {
  const { link, material } = inputs
  const { nonceC, comC } = decodeP1({ sid: NO_SID, body: p1Body.slice() })
  const nonceS = inputs.entropy.nonce32()
  const { count, plan, shares, generator } = openSession(inputs, slots, ROLE_S)
  const held: Wipeable[] = [generator, wipeableShares(shares)]
  return guard(held, () => {
    const tr1 = extendTranscript(emptyTranscript(), ROLE_C, FRAME_TYPES.P1, p1Body)
    generator.mix(tr1)
    const sid = presignSid(material.lctx, nonceC, nonceS, count, plan, comC)
    const { secrets, opening } = openHalf(generator, count, shares)
    held.push({ wipe: () => wipeHalf(secrets) })
    const context = nonceContext(material.lctx, nonceC, nonceS, plan)
    const comS = commitHalf(ROLE_S, context, opening, secrets.salt)
    const common = { spent: false, link, material, slots, count, plan, generator, secrets, opening, nonceC, comC }
    const extension = receiveExtension({ ...common, tr: tr1 }, directionSid(sid, ROLE_C, ROLE_S))
    const body = concatBytes(nonceS, comS, extension)
    const tr = extendTranscript(tr1, ROLE_S, FRAME_TYPES.P2, body)
    return { state: { ...common, step: 'S2', sid, nonceS, tr }, body, sid }
  })
}

/** Draws this party's choices and extends as receiver; the rows stay with the secrets. */
function receiveExtension(session: Session, id: Uint8Array): Uint8Array {
  const { secrets, generator, count, material } = session
  drawChoices(secrets, generator, count)
  const { message, rows } = oteReceive(id, count, material.seedPairs, secrets.choices)
  secrets.rows = rows
  return message
}

/** The peer's extension as sender. @throws ProtocolFault class D. */
function acceptExtension(material: LinkMaterial, id: Uint8Array, count: number, message: Uint8Array): Uint8Array {
  return classD(() => oteSend(id, count, material.chosenSeeds, material.delta, message)).rows
}

function decodePeer(
  session: Session,
  half: Uint8Array,
  role: Role,
  context: Uint8Array,
  committed: Uint8Array,
): PeerHalf {
  const opens = (points: Uint8Array, salt: Uint8Array) =>
    commitHalf(role, context, { points, nullPoint: new Uint8Array(0) }, salt)
  return decodeHalf(half, session.count, isSelfTest(session), opens, committed)
}

/**
 * The peer's X of every slot, 65 bytes: pinned in the own records, or opened in a self-test. Never sent otherwise.
 */
function pinnedPoints(session: Session, peer: PeerHalf): readonly Uint8Array[] {
  if (session.slots === 'self-test') return peer.nullPoint === undefined ? [] : [peer.nullPoint]
  const known = new Map<Uint8Array, Uint8Array>()
  return session.slots.map((slot) => {
    const point = session.material.role === ROLE_C ? slot.pointS : slot.pointC
    const decompressed = known.get(point) ?? decompress(point)
    known.set(point, decompressed)
    return decompressed
  })
}

function collect(
  session: Session,
  sid: Uint8Array,
  points: readonly Uint8Array[],
  psi: Uint8Array,
  received: Uint8Array,
): readonly Presignature[] {
  const { slots, link, material, secrets } = session
  if (slots === 'self-test') return []
  const { linkId } = link
  const { lEpoch } = material
  return points.flatMap((noncePointFull, index) => {
    const slot = slots[index]
    if (slot === undefined) return []
    const { walletId, wEpoch } = slot
    const presigId = presigIdOf(sid, index)
    const scalars = finishSlot(secrets, index, psi, received)
    const noncePoint = compressPoint(noncePointFull)
    return [{ linkId, lEpoch, walletId, wEpoch, sid, index, presigId, noncePoint, noncePointFull, ...scalars }]
  })
}

/** conf = TH("presign/conf"; sid, S, tr), tr over P1..P4 without the conf. */
function confOf(sid: Uint8Array, tr: Uint8Array): Uint8Array {
  return taggedHash('presign/conf', sid, u8(ROLE_S), tr)
}

/**
 * Runs checks whose failure is evidence of cheating. Whatever is thrown inside is the same class D as a refusal:
 * no error of a library can skip the burn, and none tells one check from another.
 */
function classD<T extends { readonly accepted: boolean }>(checks: () => T): T {
  let verdict: T
  try {
    verdict = checks()
  } catch {
    throw cheating()
  }
  if (!verdict.accepted) throw cheating()
  return verdict
}

/** Own computation after the peer's message was accepted: what it throws is this side's fault, class B. */
function ownFault<T>(step: () => T): T {
  try {
    return step()
  } catch (error) {
    throw error instanceof ProtocolFault ? error : degenerate('presign computation')
  }
}

function isSelfTest(session: Session): boolean {
  return session.slots === 'self-test'
}

function sessionSecrets(session: Session): Wipeable[] {
  return [session.generator, { wipe: () => wipeHalf(session.secrets) }]
}

function wipeableShares(shares: Uint8Array | 'self-test'): Wipeable {
  return { wipe: () => (shares === 'self-test' ? undefined : shares.fill(0)) }
}

function endSession(held: readonly Wipeable[]): void {
  for (const secret of held) secret.wipe()
}
