/**
 * The four messages by which both halves of wallets move by a common coin, PK staying (docs/protocol.md §12): what a
 * refresh and a fork have in common. Pure steps; what comes of the new halves is the purpose's (refresh.ts, fork.ts).
 *
 *   C: startChangeC → first   openChangeC(second) → third   finishChangeC(fourth) → new halves
 *   S: answerChangeS(first) → second   finishChangeS(third) → new halves and fourth
 *
 * The records passed in are only read: the caller wipes their shares, the states hold copies. Whoever holds a state
 * that will not go on abandons it.
 */
import { timingSafeEqual } from 'node:crypto'
import { type Group, groupOf } from '../curve/group.ts'
import { concatBytes, equalBytes, u16, u8 } from '../hash/encoding.ts'
import { commitment, taggedHash } from '../hash/tagged-hash.ts'
import { type LinkParties, walletContext, walletContext0, walletSid } from './contexts.ts'
import { violation } from './fault.ts'
import { assertBodyLength, assertSid, type FrameType, type SessionMessage } from './frame.ts'
import { guard, type OneShot, spend, type Wipeable, wipeable } from './one-shot.ts'
import { type Entropy, OperationGenerator } from './operation-generator.ts'
import { copyShares } from './presign-plan.ts'
import type { WalletRecord } from './records.ts'
import { renewAll, type Renewed, renewedPoints, wipeableRenewed } from './refresh-coin.ts'
import { assertProofs, proofBytes, proveAll, readProofs } from './refresh-proof.ts'
import { areDistinct, decodeF1, encodeF1, type FirstType, isOfLink, refreshProduct, resolveRefresh } from './refresh-plan.ts'
import { ROLE_C, ROLE_S, type Role } from './suite.ts'
import { emptyTranscript, extendTranscript } from './transcript.ts'
import { assertPoint } from './wire.ts'

export type ChangeInputs = {
  readonly link: LinkParties
  readonly entropy: Entropy
  /** hk of the live material, when there is some. Only read. */
  readonly hk?: Uint8Array
}

/** What tells one use of the messages from another: nothing of the one is good for the other. */
export type ChangePurpose = {
  /** Of wctx0, the commitment and the coin. */
  readonly name: 'refresh' | 'fork'
  /** The types of the first three messages, as the transcript takes them. */
  readonly types: readonly [FirstType, FrameType, FrameType]
  /** How many wallets one run may have. */
  readonly maxWallets: number
  /** Beside each wallet's own context in the sid: what the two sides must agree on. */
  readonly agreed: Uint8Array
  /** The last items of the coin's hash. */
  readonly coinTail: (sid: Uint8Array) => readonly Uint8Array[]
}

type Common = OneShot & {
  readonly purpose: ChangePurpose
  readonly inputs: ChangeInputs
  readonly group: Group
  readonly records: readonly WalletRecord[]
  readonly generator: OperationGenerator
  readonly tr: Uint8Array
}

/** What a side draws before ρ is known: its seed and ephemeral key. */
type Ephemeral = { readonly seed: Uint8Array; readonly scalar: Uint8Array; readonly point: Uint8Array }

/** C after the first message. */
export type ChangeC1 = Common & {
  readonly wctx0: Uint8Array
  readonly nonceC: Uint8Array
  readonly own: Ephemeral
  readonly salt: Uint8Array
  /** Copies of the shares, 32 bytes a wallet. */
  readonly shares: Uint8Array
}

/** S after the second. */
export type ChangeS2 = Common & {
  readonly wctx0: Uint8Array
  readonly nonceC: Uint8Array
  readonly comC: Uint8Array
  readonly sid: Uint8Array
  readonly own: Ephemeral
  readonly shares: Uint8Array
}

/** C after the third: holds the new shares until the fourth decides. */
export type ChangeC3 = OneShot & {
  readonly group: Group
  readonly records: readonly WalletRecord[]
  readonly sid: Uint8Array
  readonly renewed: readonly Renewed[]
  readonly opening: Uint8Array
  readonly confS: Uint8Array
}

/** New halves, whose shares are the caller's to wipe, and the records they come of, without theirs. */
export type Changed = {
  readonly sid: Uint8Array
  readonly records: readonly WalletRecord[]
  readonly renewed: readonly Renewed[]
}

/**
 * C opens a change. Body: N_C ‖ u16 n ‖ n×(walletId ‖ u32 wEpoch) ‖ com_C.
 * @param records the present records, distinct, of one algorithm, of this link; shares are verified and copied.
 * @throws ProtocolFault class B: a share does not open its point; RangeError on records that no such change may join.
 */
export function startChangeC(
  purpose: ChangePurpose,
  inputs: ChangeInputs,
  records: readonly WalletRecord[],
): { readonly state: ChangeC1; readonly body: Uint8Array } {
  assertPlan(purpose, inputs.link, records)
  const { generator, group, wctx0, shares } = openChange(purpose, inputs, ROLE_C, records)
  const secrets: Wipeable[] = [generator, wipeable(shares)]
  return guard(secrets, () => {
    const nonceC = inputs.entropy.nonce32()
    const own = drawEphemeral(group, generator, secrets)
    const salt = generator.bytes(32)
    const comC = commitment(purpose.name, ROLE_C, concatBytes(wctx0, nonceC), concatBytes(own.seed, own.point), salt)
    const body = encodeF1(nonceC, records, comC)
    const tr = extendTranscript(emptyTranscript(), ROLE_C, purpose.types[0], body)
    const common = { spent: false, purpose, inputs, group, records: publicOf(records), generator, tr }
    return { state: { ...common, wctx0, nonceC, own, salt, shares }, body }
  })
}

/**
 * S answers the first message with N_S ‖ seed_S ‖ E_S.
 * @param offered the own records that may be changed now (`resolveRefresh`); shares are verified and copied.
 * @throws ProtocolFault class C: length, sid in the header, count, a wallet twice, two algorithms; class A
 *   plan_refused: a wallet that is not offered, or at another epoch; class B: a share does not open its point.
 */
export function answerChangeS(
  purpose: ChangePurpose,
  inputs: ChangeInputs,
  message: SessionMessage,
  offered: readonly WalletRecord[],
): { readonly state: ChangeS2; readonly sid: Uint8Array; readonly body: Uint8Array } {
  const { nonceC, names, comC } = decodeF1(message, purpose.types[0], purpose.maxWallets)
  const records = resolveRefresh(inputs.link, ROLE_S, names, offered)
  const { generator, group, wctx0, shares } = openChange(purpose, inputs, ROLE_S, records)
  const secrets: Wipeable[] = [generator, wipeable(shares)]
  return guard(secrets, () => {
    const tr1 = extendTranscript(emptyTranscript(), ROLE_C, purpose.types[0], message.body)
    generator.mix(tr1)
    const nonceS = inputs.entropy.nonce32()
    const sid = changeSid(purpose, inputs.link, wctx0, nonceC, nonceS, records)
    const own = drawEphemeral(group, generator, secrets)
    const body = concatBytes(nonceS, own.seed, own.point)
    const tr = extendTranscript(tr1, ROLE_S, purpose.types[1], body)
    const common = { spent: false, purpose, inputs, group, records: publicOf(records), generator, tr }
    return { state: { ...common, wctx0, nonceC: nonceC.slice(), comC: comC.slice(), sid, own, shares }, sid, body }
  })
}

/**
 * C checks the second message and opens: the third = seed_C ‖ E_C ‖ salt_C ‖ n×(A_C ‖ z_C) ‖ conf_C. The old shares, seed and e_C are
 * overwritten; the state holds the new shares.
 * @throws ProtocolFault class C: length, E_S; class A: sid; class B: a new share is zero.
 */
export function openChangeC(
  state: ChangeC1,
  message: SessionMessage,
): { readonly state: ChangeC3; readonly body: Uint8Array } {
  spend(state)
  const { purpose, group, generator, own, inputs, records } = state
  const secrets: Wipeable[] = []
  try {
    return guard(secrets, () => {
      assertBodyLength(message.body, 64 + group.pointBytes)
      const nonceS = message.body.subarray(0, 32)
      const sid = changeSid(purpose, inputs.link, state.wctx0, state.nonceC, nonceS, records)
      assertSid(message.sid, sid)
      const seedS = message.body.subarray(32, 64)
      const pointS = assertPoint(message.body.subarray(64), group)
      const tr2 = extendTranscript(state.tr, ROLE_S, purpose.types[1], message.body)
      generator.mix(tr2)
      const renewed = toss(state, ROLE_C, sid, { seedC: own.seed, seedS }, pointS)
      secrets.push(wipeableRenewed(renewed))
      const opened = concatBytes(own.seed, own.point, state.salt)
      const opening = openingTranscript(purpose, tr2, opened)
      const proofs = proveAll({ group, sid, opening, role: ROLE_C }, renewed, generator)
      const content = concatBytes(opened, proofs)
      const tr = extendTranscript(tr2, ROLE_C, purpose.types[2], content)
      const confS = confOf(sid, ROLE_S, tr, renewed)
      return {
        state: { spent: false, group, records, sid, renewed, opening, confS },
        body: concatBytes(content, confOf(sid, ROLE_C, tr, renewed)),
      }
    })
  } finally {
    wipeSecrets(state)
  }
}

/**
 * S checks the third message and gives its new halves, and the fourth = n×(A_S ‖ z_S) ‖ conf_S, to be sent once what is
 * to be durable is so.
 * Order: length → commitment opening → points and scalars → proof of knowledge → conf_C.
 * @throws ProtocolFault class C; class B: a new share is zero.
 */
export function finishChangeS(
  state: ChangeS2,
  body3: Uint8Array,
): { readonly changed: Changed; readonly body: Uint8Array } {
  spend(state)
  const { purpose, group, generator, own, sid, records } = state
  const secrets: Wipeable[] = []
  try {
    return guard(secrets, () => {
      const openedBytes = 64 + group.pointBytes
      assertBodyLength(body3, openedBytes + proofBytes(group) * records.length + 32)
      const opened = body3.subarray(0, openedBytes)
      const content = body3.subarray(0, body3.length - 32)
      const { seedC, pointC } = openCommitment(state, opened)
      const proofs = readProofs(group, content.subarray(openedBytes))
      const tr = extendTranscript(state.tr, ROLE_C, purpose.types[2], content)
      const renewed = toss(state, ROLE_S, sid, { seedC, seedS: own.seed }, pointC)
      secrets.push(wipeableRenewed(renewed))
      const opening = openingTranscript(purpose, state.tr, opened)
      assertProofs({ group, sid, opening, role: ROLE_C }, renewed, proofs)
      assertConf(body3.subarray(content.length), confOf(sid, ROLE_C, tr, renewed))
      generator.mix(tr)
      const answer = proveAll({ group, sid, opening, role: ROLE_S }, renewed, generator)
      return { changed: { sid, records, renewed }, body: concatBytes(answer, confOf(sid, ROLE_S, tr, renewed)) }
    })
  } finally {
    wipeSecrets(state)
  }
}

/**
 * C checks the fourth message and gives its new halves.
 * @throws ProtocolFault class C: length, points, scalars, proof of knowledge, conf_S. Nothing has changed then.
 */
export function finishChangeC(state: ChangeC3, body4: Uint8Array): Changed {
  spend(state)
  const { group, records, renewed, sid } = state
  return guard([wipeableRenewed(renewed)], () => {
    assertBodyLength(body4, proofBytes(group) * records.length + 32)
    const proofs = readProofs(group, body4.subarray(0, body4.length - 32))
    assertProofs({ group, sid, opening: state.opening, role: ROLE_S }, renewed, proofs)
    assertConf(body4.subarray(body4.length - 32), state.confS)
    return { sid, records, renewed }
  })
}

/** Ends a change that will not go on: every secret of the state is overwritten. The old records stay as they are. */
export function abandonChange(state: ChangeC1 | ChangeS2 | ChangeC3): void {
  if (state.spent) return
  state.spent = true
  if ('renewed' in state) wipeableRenewed(state.renewed).wipe()
  else wipeSecrets(state)
}

function assertPlan(
  { maxWallets }: ChangePurpose,
  link: LinkParties,
  records: readonly WalletRecord[],
): void {
  const [first] = records
  if (first === undefined || records.length > maxWallets) throw new RangeError(`1 to ${maxWallets} wallets`)
  const fits = records.every((record) => record.alg === first.alg && isOfLink(link, ROLE_C, record))
  if (!fits || !areDistinct(records)) throw new RangeError('distinct wallets of one algorithm and of this link')
}

function openChange({ name }: ChangePurpose, inputs: ChangeInputs, role: Role, records: readonly WalletRecord[]) {
  const { link, entropy, hk } = inputs
  const alg = records[0]?.alg
  if (alg === undefined) throw new RangeError('at least one wallet')
  const group = groupOf(alg)
  const slots = records.map((record) => ({ ...record, wctx: walletContext(link, record) }))
  const shares = copyShares(role, slots, group)
  return guard([wipeable(shares)], () => {
    const wctx0 = walletContext0(link, alg, name)
    const generator = new OperationGenerator(entropy, {
      op: name,
      idOwn: role === ROLE_C ? link.idC : link.idS,
      role,
      context: wctx0,
      walletContexts: slots.map(({ wctx }) => wctx),
      ownShares: [shares],
      ...(hk === undefined ? {} : { hk }),
    })
    return { generator, group, wctx0, shares }
  })
}

/** What a state keeps of the records: everything but the share, which the caller wipes. */
function publicOf(records: readonly WalletRecord[]): readonly WalletRecord[] {
  return records.map((record) => ({ ...record, share: new Uint8Array(0) }))
}

function drawEphemeral(group: Group, generator: OperationGenerator, secrets: Wipeable[]): Ephemeral {
  const seed = generator.bytes(32)
  const scalar = generator.nonZeroScalar(group)
  secrets.push(wipeable(seed), wipeable(scalar))
  return { seed, scalar, point: group.mulBase(scalar) }
}

function changeSid(
  { name, agreed }: ChangePurpose,
  link: LinkParties,
  wctx0: Uint8Array,
  nonceC: Uint8Array,
  nonceS: Uint8Array,
  records: readonly WalletRecord[],
): Uint8Array {
  const product = concatBytes(refreshProduct(link, records), agreed)
  return walletSid(wctx0, name, nonceC, nonceS, u16(records.length), product)
}

/** ρ of every wallet, and what it makes of the own half. Z does not outlive this. */
function toss(
  state: ChangeC1 | ChangeS2,
  role: Role,
  sid: Uint8Array,
  seeds: { readonly seedC: Uint8Array; readonly seedS: Uint8Array },
  peerPoint: Uint8Array,
): Renewed[] {
  const { purpose, group, records, shares, own } = state
  const shared = group.mulSecret(own.scalar, peerPoint)
  try {
    const each = records.map((_, i) => shares.subarray(32 * i, 32 * i + 32))
    const { name, coinTail } = purpose
    return renewAll(group, role, records, each, { purpose: name, tail: coinTail(sid), sid, ...seeds, shared })
  } finally {
    shared.fill(0)
  }
}

/** seed_C and E_C once they are what the first message committed to. */
function openCommitment(state: ChangeS2, opened: Uint8Array): { seedC: Uint8Array; pointC: Uint8Array } {
  const { purpose, group, wctx0, nonceC, comC } = state
  const v = opened.subarray(0, 32 + group.pointBytes)
  const salt = opened.subarray(v.length)
  if (!equalBytes(commitment(purpose.name, ROLE_C, concatBytes(wctx0, nonceC), v, salt), comC)) {
    throw violation('commitment opening')
  }
  return { seedC: v.subarray(0, 32), pointC: assertPoint(v.subarray(32), group) }
}

/** tr_o = TH("tr"; tr over the first two, C, type of the third, seed_C ‖ E_C ‖ salt_C). */
function openingTranscript({ types }: ChangePurpose, tr2: Uint8Array, opened: Uint8Array): Uint8Array {
  return extendTranscript(tr2, ROLE_C, types[2], opened)
}

function confOf(sid: Uint8Array, role: Role, tr: Uint8Array, renewed: readonly Renewed[]): Uint8Array {
  return taggedHash('refresh/conf', sid, u8(role), tr, u16(2 * renewed.length), renewedPoints(renewed))
}

function assertConf(received: Uint8Array, expected: Uint8Array): void {
  if (!timingSafeEqual(received, expected)) throw violation('confirmation')
}

function wipeSecrets(state: ChangeC1 | ChangeS2): void {
  const { generator, own, shares } = state
  generator.wipe()
  for (const secret of [own.seed, own.scalar, shares]) secret.fill(0)
  if ('salt' in state) state.salt.fill(0)
}
