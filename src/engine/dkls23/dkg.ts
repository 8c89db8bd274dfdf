/**
 * Distributed generation of n wallets over an existing link (docs/protocol.md §5): commit, reveal, proof of
 * knowledge, confirmation. No OT. x = x_C + x_S is never formed. Pure steps; the caller stores the PENDING records
 * durably before it sends the body that comes with them, and shows no address before C has W4.
 *
 *   C: startDkgC → W1   advanceDkgC(W2) → PENDING records, W3   finishDkgC(W4) → [C's records become ACTIVE]
 *   S: startDkgS(W1) → W2   advanceDkgS(W3) → PENDING records, W4   [ACTIVE on W5 or a later message of the
 *   wallet]
 */
import { timingSafeEqual } from 'node:crypto'
import { type Group, groupOf } from '../curve/group.ts'
import { concatBytes, equalBytes, readU16, u16, u8 } from '../hash/encoding.ts'
import { commitment, hashToScalarOf, taggedHash } from '../hash/tagged-hash.ts'
import { type LinkParties, walletContext0, walletIdOf, walletSid } from './contexts.ts'
import { violation } from './fault.ts'
import { assertBodyLength, assertNoSid, assertSid, FRAME_TYPES, type SessionMessage } from './frame.ts'
import { guard, type OneShot, spend, type Wipeable } from './one-shot.ts'
import { type Entropy, OperationGenerator } from './operation-generator.ts'
import { respond, verifyResponse } from './proof-of-knowledge.ts'
import type { WalletRecord } from './records.ts'
import { type Alg, ALG_ED25519, ALG_SECP256K1, MAX_DKG_WALLETS, ROLE_C, ROLE_S, type Role } from './suite.ts'
import { emptyTranscript, extendTranscript } from './transcript.ts'
import { BodyReader } from './wire.ts'

export type DkgInputs = {
  readonly link: LinkParties
  readonly entropy: Entropy
  /** The durable link epoch: becomes minLinkEpoch of the wallets. */
  readonly lEpoch: number
  readonly nowMs: bigint
  /** hk of the live material, when there is some. Only read. */
  readonly hk?: Uint8Array
}

/** One side's contribution to a wallet; share and nonce are secret. */
type Contribution = {
  readonly share: Uint8Array
  readonly point: Uint8Array
  readonly chainCode: Uint8Array
}
type PublicContribution = Pick<Contribution, 'point' | 'chainCode'>
type Proof = { readonly noncePoint: Uint8Array; readonly response: Uint8Array }

type Common = OneShot & {
  readonly inputs: DkgInputs
  readonly group: Group
  readonly wctx0: Uint8Array
  readonly count: number
  readonly generator: OperationGenerator
  readonly own: readonly Contribution[]
  readonly tr: Uint8Array
}

/** C after W1. */
export type DkgC1 = Common & { readonly nonceC: Uint8Array; readonly comC: Uint8Array; readonly saltC: Uint8Array }

/** S after W2. */
export type DkgS2 = Common & { readonly nonceC: Uint8Array; readonly comC: Uint8Array; readonly sid: Uint8Array }

/** C after W3: holds no secret any more, the records do. */
export type DkgC3 = OneShot & { readonly sid: Uint8Array; readonly confS: Uint8Array }

/** PENDING records with the sid that an outcome question names. The caller owns and wipes the shares inside. */
export type PendingWallets = { readonly sid: Uint8Array; readonly records: readonly WalletRecord[] }

/** C opens the generation of `count` wallets of one algorithm, 1..64. Body: N_C ‖ u8 alg ‖ u16 n ‖ com_C. */
export function startDkgC(
  inputs: DkgInputs,
  count: number,
  alg: Alg = ALG_SECP256K1,
): { readonly state: DkgC1; readonly body: Uint8Array } {
  if (!Number.isInteger(count) || count < 1 || count > MAX_DKG_WALLETS) throw new RangeError('1 to 64 wallets')
  const { generator, group, wctx0 } = openDkg(inputs, ROLE_C, alg)
  const secrets: Wipeable[] = [generator]
  return guard(secrets, () => {
    const nonceC = inputs.entropy.nonce32()
    const own = drawContributions(group, count, generator)
    secrets.push(wipeableShares(own))
    const saltC = generator.bytes(32)
    const comC = commitment('dkg', ROLE_C, concatBytes(wctx0, nonceC), openingOf(own), saltC)
    const body = concatBytes(nonceC, u8(alg), u16(count), comC)
    const tr = extendTranscript(emptyTranscript(), ROLE_C, FRAME_TYPES.W1, body)
    const common = { spent: false, inputs, group, wctx0, count, generator, own, tr }
    return { state: { ...common, nonceC, comC, saltC }, body }
  })
}

/**
 * S answers W1 with W2 = N_S ‖ n × (X_S ‖ cc_S ‖ A_S ‖ z_S).
 * @throws ProtocolFault class C: length, sid in the header, algorithm, count.
 */
export function startDkgS(
  inputs: DkgInputs,
  message: SessionMessage,
): { readonly state: DkgS2; readonly body: Uint8Array } {
  assertNoSid(message.sid)
  const { nonceC, alg, count, comC } = decodeW1(message.body)
  const { generator, group, wctx0 } = openDkg(inputs, ROLE_S, alg)
  const secrets: Wipeable[] = [generator]
  return guard(secrets, () => {
    const tr1 = extendTranscript(emptyTranscript(), ROLE_C, FRAME_TYPES.W1, message.body)
    generator.mix(tr1)
    const nonceS = inputs.entropy.nonce32()
    const sid = walletSid(wctx0, 'dkg', nonceC, nonceS, u16(count), comC)
    const own = drawContributions(group, count, generator)
    secrets.push(wipeableShares(own))
    const proofs = own.map((one) => prove(group, sid, ROLE_S, one, generator))
    const entries = own.map((one, i) => concatBytes(one.point, one.chainCode, encodeProof(proofs[i])))
    const body = concatBytes(nonceS, ...entries)
    const tr = extendTranscript(tr1, ROLE_S, FRAME_TYPES.W2, body)
    const common = { spent: false, inputs, group, wctx0, count, generator, own, tr }
    return { state: { ...common, nonceC, comC, sid }, body }
  })
}

/**
 * C checks W2 and gives its PENDING records and W3 = n × (X_C ‖ cc_C) ‖ salt_C ‖ n × (A_C ‖ z_C) ‖ conf_C. The
 * records are durable before W3 is sent.
 * @throws ProtocolFault class C: length, points, scalars, reflection, proof of knowledge; class A: sid.
 */
export function advanceDkgC(
  state: DkgC1,
  message: SessionMessage,
): { readonly state: DkgC3; readonly pending: PendingWallets; readonly body: Uint8Array } {
  spend(state)
  const { group, generator, own, count } = state
  const step = guard([generator, wipeableShares(own)], () => {
    assertBodyLength(message.body, 32 + 2 * (group.pointBytes + 32) * count)
    const nonceS = message.body.subarray(0, 32)
    const sid = walletSid(state.wctx0, 'dkg', state.nonceC, nonceS, u16(count), state.comC)
    assertSid(message.sid, sid)
    const { peer, proofs } = decodeW2(group, message.body, count)
    assertDistinct(own, peer)
    assertProofs(group, sid, ROLE_S, peer, proofs)
    const keys = joinKeys(group, sid, own, peer)
    const tr2 = extendTranscript(state.tr, ROLE_S, FRAME_TYPES.W2, message.body)
    generator.mix(tr2)
    const ownProofs = own.map((one) => encodeProof(prove(group, sid, ROLE_C, one, generator)))
    const opened = concatBytes(openingOf(own), state.saltC, ...ownProofs)
    const tr = extendTranscript(tr2, ROLE_C, FRAME_TYPES.W3, opened)
    return {
      state: { spent: false, sid, confS: confOf(sid, ROLE_S, tr, keys) },
      pending: { sid, records: recordsOf(state, ROLE_C, sid, peer, keys) },
      body: concatBytes(opened, confOf(sid, ROLE_C, tr, keys)),
    }
  })
  generator.wipe()
  return step
}

/**
 * S checks W3 and gives its PENDING records and W4 = conf_S. The records are durable before W4 is sent.
 * Order: length → commitment opening → points and reflection → proof of knowledge → conf_C.
 * @throws ProtocolFault class C.
 */
export function advanceDkgS(
  state: DkgS2,
  body3: Uint8Array,
): { readonly pending: PendingWallets; readonly body: Uint8Array } {
  spend(state)
  const { group, generator, own, count, sid } = state
  const step = guard([generator, wipeableShares(own)], () => {
    const vBytes = (group.pointBytes + 32) * count
    assertBodyLength(body3, 2 * vBytes + 64)
    const opened = body3.subarray(0, body3.length - 32)
    const v = body3.subarray(0, vBytes)
    const salt = body3.subarray(vBytes, vBytes + 32)
    if (!equalBytes(commitment('dkg', ROLE_C, concatBytes(state.wctx0, state.nonceC), v, salt), state.comC)) {
      throw violation('commitment opening')
    }
    const { peer, proofs } = decodeW3(group, opened, count)
    assertDistinct(own, peer)
    assertProofs(group, sid, ROLE_C, peer, proofs)
    const keys = joinKeys(group, sid, peer, own)
    const tr = extendTranscript(state.tr, ROLE_C, FRAME_TYPES.W3, opened)
    assertConf(body3.subarray(opened.length), confOf(sid, ROLE_C, tr, keys))
    return {
      pending: { sid, records: recordsOf(state, ROLE_S, sid, peer, keys) },
      body: confOf(sid, ROLE_S, tr, keys),
    }
  })
  generator.wipe()
  return step
}

/**
 * C checks W4: S has stored its half. After this C's commit makes the wallets ACTIVE, and W5 may be sent.
 * @throws ProtocolFault class C: length, conf_S. The caller then deletes the PENDING records.
 */
export function finishDkgC(state: DkgC3, body4: Uint8Array): void {
  spend(state)
  assertBodyLength(body4, 32)
  assertConf(body4, state.confS)
}

/** Ends a generation that will not go on before records exist: every secret is overwritten. */
export function abandonDkg(state: DkgC1 | DkgS2): void {
  if (state.spent) return
  state.spent = true
  state.generator.wipe()
  wipeableShares(state.own).wipe()
}

type JointKey = { readonly publicKey: Uint8Array; readonly chainCode: Uint8Array }

function openDkg(
  inputs: DkgInputs,
  role: Role,
  alg: Alg,
): { generator: OperationGenerator; group: Group; wctx0: Uint8Array } {
  const { link, entropy, hk } = inputs
  const wctx0 = walletContext0(link, alg, 'dkg')
  const idOwn = role === ROLE_C ? link.idC : link.idS
  const generator = new OperationGenerator(entropy, {
    op: 'dkg',
    idOwn,
    role,
    context: wctx0,
    ...(hk === undefined ? {} : { hk }),
  })
  return { generator, group: groupOf(alg), wctx0 }
}

function drawContributions(group: Group, count: number, generator: OperationGenerator): Contribution[] {
  return Array.from({ length: count }, () => {
    const share = generator.nonZeroScalar(group)
    return { share, point: group.mulBase(share), chainCode: generator.bytes(32) }
  })
}

/** Draws a_i, so it is called only after the peer's nonce is mixed in. */
function prove(
  group: Group,
  sid: Uint8Array,
  role: Role,
  own: Contribution,
  generator: OperationGenerator,
): Proof {
  const nonce = generator.nonZeroScalar(group)
  try {
    const noncePoint = group.mulBase(nonce)
    const challenge = challengeOf(group, sid, role, own.point, noncePoint)
    return { noncePoint, response: respond(nonce, challenge, own.share, group) }
  } finally {
    nonce.fill(0)
  }
}

function challengeOf(
  group: Group,
  sid: Uint8Array,
  role: Role,
  point: Uint8Array,
  noncePoint: Uint8Array,
): Uint8Array {
  return hashToScalarOf(group, 'dkg/pok', sid, u8(role), point, noncePoint)
}

function assertProofs(
  group: Group,
  sid: Uint8Array,
  role: Role,
  peer: readonly PublicContribution[],
  proofs: readonly Proof[],
): void {
  for (const [i, { point }] of peer.entries()) {
    const proof = proofs[i]
    if (proof === undefined) throw violation('proof count')
    const challenge = challengeOf(group, sid, role, point, proof.noncePoint)
    const accepted = verifyResponse(proof.response, proof.noncePoint, challenge, point, group)
    if (!accepted) throw violation('proof of knowledge')
  }
}

/** No X of the peer equals any X of this exchange, own or the peer's. */
function assertDistinct(own: readonly PublicContribution[], peer: readonly PublicContribution[]): void {
  const seen = new Set(own.map(({ point }) => Buffer.from(point).toString('latin1')))
  for (const { point } of peer) {
    const key = Buffer.from(point).toString('latin1')
    if (seen.has(key)) throw violation('a share point is repeated')
    seen.add(key)
  }
}

/** PK = X_C + X_S and cc for each wallet. @throws ProtocolFault class C when a PK is the identity. */
function joinKeys(
  group: Group,
  sid: Uint8Array,
  fromC: readonly PublicContribution[],
  fromS: readonly PublicContribution[],
): JointKey[] {
  return fromC.map((c, i) => {
    const s = fromS[i]
    if (s === undefined) throw violation('share count')
    const publicKey = group.addPoints([c.point, s.point])
    if (publicKey === undefined) throw violation('public key is the identity')
    if (!group.isPoint(publicKey)) throw violation('public key')
    return { publicKey, chainCode: taggedHash('dkg/cc', sid, c.chainCode, s.chainCode) }
  })
}

function confOf(sid: Uint8Array, role: Role, tr: Uint8Array, keys: readonly JointKey[]): Uint8Array {
  const publicKeys = concatBytes(...keys.map(({ publicKey }) => publicKey))
  const chainCodes = concatBytes(...keys.map(({ chainCode }) => chainCode))
  return taggedHash('dkg/conf', sid, u8(role), tr, publicKeys, chainCodes)
}

function assertConf(got: Uint8Array, expected: Uint8Array): void {
  if (!timingSafeEqual(got, expected)) throw violation('key generation confirmation')
}

function recordsOf(
  state: Pick<Common, 'inputs' | 'group' | 'own'>,
  role: Role,
  sid: Uint8Array,
  peer: readonly PublicContribution[],
  keys: readonly JointKey[],
): WalletRecord[] {
  const { inputs, group, own } = state
  return keys.map(({ publicKey, chainCode }, i) => {
    const [mine, theirs] = [own[i], peer[i]]
    if (mine === undefined || theirs === undefined) throw violation('share count')
    return {
      alg: group.alg,
      role,
      state: 'PENDING',
      walletId: walletIdOf(sid, i),
      linkId: inputs.link.linkId,
      wEpoch: 0,
      minLinkEpoch: inputs.lEpoch,
      share: mine.share,
      pointC: role === ROLE_C ? mine.point : theirs.point.slice(),
      pointS: role === ROLE_S ? mine.point : theirs.point.slice(),
      publicKey,
      chainCode,
      origin: 'dkg',
      createdAtMs: inputs.nowMs,
      refreshCount: 0,
    }
  })
}

function decodeW1(body: Uint8Array): { nonceC: Uint8Array; alg: Alg; count: number; comC: Uint8Array } {
  assertBodyLength(body, 67)
  const alg = body[32]
  if (alg !== ALG_SECP256K1 && alg !== ALG_ED25519) throw violation('algorithm')
  const count = readU16(body, 33)
  if (count < 1 || count > MAX_DKG_WALLETS) throw violation('wallet count')
  return { nonceC: body.slice(0, 32), alg, count, comC: body.slice(35) }
}

type Decoded = { readonly peer: PublicContribution[]; readonly proofs: Proof[] }

function decodeW2(group: Group, body: Uint8Array, count: number): Decoded {
  const reader = new BodyReader(body.subarray(32))
  const peer: PublicContribution[] = []
  const proofs: Proof[] = []
  for (let i = 0; i < count; i++) {
    peer.push({ point: reader.point(group), chainCode: reader.take(32) })
    proofs.push({ noncePoint: reader.point(group), response: reader.scalar(group) })
  }
  reader.end()
  return { peer, proofs }
}

function decodeW3(group: Group, opened: Uint8Array, count: number): Decoded {
  const reader = new BodyReader(opened)
  const peer = Array.from({ length: count }, () => ({ point: reader.point(group), chainCode: reader.take(32) }))
  reader.take(32)
  const readProof = () => ({ noncePoint: reader.point(group), response: reader.scalar(group) })
  const proofs = Array.from({ length: count }, readProof)
  reader.end()
  return { peer, proofs }
}

function openingOf(contributions: readonly PublicContribution[]): Uint8Array {
  return concatBytes(...contributions.map(({ point, chainCode }) => concatBytes(point, chainCode)))
}

function encodeProof(proof: Proof | undefined): Uint8Array {
  if (proof === undefined) throw new RangeError('a proof for each wallet')
  return concatBytes(proof.noncePoint, proof.response)
}

function wipeableShares(contributions: readonly Contribution[]): Wipeable {
  return {
    wipe: () => {
      for (const { share } of contributions) share.fill(0)
    },
  }
}
