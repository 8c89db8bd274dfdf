/**
 * Taking a key in whose halves a client has made (docs/protocol.md §14). Each party gets its half sealed to itself and
 * checks it by itself; the exchange shows each side that the other has the half that belongs to the key. x = x_C + x_S is
 * never formed here. Pure steps; what the client supplied and is wrong is class A import_refused and nobody's violation.
 *
 *   C: startImportC → IM1   openImportC(IM2) → PENDING record, IM3   finishImportC(IM4) → [C's commit decides]
 *   S: answerImportS(IM1) → IM2   finishImportS(IM3) → PENDING record, IM4   [switches on IM5 or a later message]
 *
 * The records are of state IMPORTED once decided: they sign nothing before a refresh.
 */
import { timingSafeEqual } from 'node:crypto'
import { type Group, groupOf } from '../curve/group.ts'
import { concatBytes, equalBytes, readU64, secretBytes, u16, u64, u8 } from '../hash/encoding.ts'
import { hashToScalarOf, taggedHash, taggedPreimage } from '../hash/tagged-hash.ts'
import { isZeroScalar } from '../kernel/scalar.ts'
import { type LinkParties, walletContext0, walletIdOf, walletSid } from './contexts.ts'
import type { DkgInputs, PendingWallets } from './dkg.ts'
import { benign, type ProtocolFault, violation } from './fault.ts'
import { assertBodyLength, assertNoSid, assertSid, bodyLengthFromCounts, FRAME_TYPES, type SessionMessage } from './frame.ts'
import { guard, type OneShot, spend, wipeable } from './one-shot.ts'
import { OperationGenerator } from './operation-generator.ts'
import { respond, verifyResponse } from './proof-of-knowledge.ts'
import type { WalletRecord } from './records.ts'
import { type Alg, ALG_ED25519, ALG_SECP256K1, ROLE_C, ROLE_S, type Role, SCALAR_BYTES, SUITE } from './suite.ts'
import { emptyTranscript, extendTranscript } from './transcript.ts'
import { BodyReader } from './wire.ts'

const IMPORT_ENVELOPE_BYTES = 80
export const OWNER_PROJECT = 1
export const OWNER_END_USER = 2
const PROJECT_MAX_BYTES = 63
const USER_MAX_BYTES = 128

/** Whose the wallet is to be, and until when the split key may be taken in. */
export type ImportOwner = {
  readonly expireMs: number
  readonly ownerType: typeof OWNER_PROJECT | typeof OWNER_END_USER
  readonly project: string
  readonly userId: string
}

/** What the client says in the clear about the key and its halves. */
export type ImportOpening = {
  readonly alg: Alg
  readonly importId: Uint8Array
  readonly publicKey: Uint8Array
  readonly pointC: Uint8Array
  readonly pointS: Uint8Array
  readonly chainCode: Uint8Array
}

/** The PENDING record, the import it comes from and whose it is: all of them are stored together. */
export type PendingImport = PendingWallets & { readonly importId: Uint8Array; readonly owner: ImportOwner }

type Common = OneShot & {
  readonly inputs: DkgInputs
  readonly group: Group
  readonly opening: ImportOpening
  readonly owner: ImportOwner
  readonly generator: OperationGenerator
  readonly share: Uint8Array
  readonly tr: Uint8Array
}
export type ImportC1 = Common & { readonly nonceC: Uint8Array; readonly wctx0: Uint8Array }
export type ImportS2 = Common & { readonly sid: Uint8Array }
export type ImportC3 = OneShot & { readonly sid: Uint8Array; readonly confS: Uint8Array }

const refused = (what: string): ProtocolFault => benign('import_refused', what)

/** expiry u64 ‖ owner type u8 ‖ u8 len ‖ project ‖ u8 len ‖ user, the bytes that the additional data holds. */
export function encodeImportOwner({ expireMs, ownerType, project, userId }: ImportOwner): Uint8Array {
  const [projectBytes, userBytes] = [new TextEncoder().encode(project), new TextEncoder().encode(userId)]
  if (projectBytes.length > PROJECT_MAX_BYTES || userBytes.length > USER_MAX_BYTES) throw new RangeError('owner fields')
  return concatBytes(
    u64(BigInt(expireMs)), u8(ownerType), u8(projectBytes.length), projectBytes, u8(userBytes.length), userBytes,
  )
}

function decodeImportOwner(bytes: Uint8Array): ImportOwner {
  const text = (part: Uint8Array): string => new TextDecoder().decode(part)
  try {
    const reader = new BodyReader(bytes)
    const expireMs = Number(readU64(reader.take(8), 0))
    const ownerType = reader.u8()
    const project = text(reader.take(reader.u8()))
    const userId = text(reader.take(reader.u8()))
    reader.end()
    if (ownerType === OWNER_PROJECT || ownerType === OWNER_END_USER) return { expireMs, ownerType, project, userId }
  } catch {
    // Said below.
  }
  throw refused('owner fields')
}

/** Additional data of an import envelope: the preimage of TH("aad/import"; suite, alg, importId, role, id_i, PK, …). */
export function importAad(opening: ImportOpening, role: Role, partyId: Uint8Array, ownerFields: Uint8Array): Uint8Array {
  const { alg, importId, publicKey, pointC, pointS, chainCode } = opening
  return taggedPreimage(
    'aad/import', u8(SUITE), u8(alg), importId, u8(role), partyId, publicKey, pointC, pointS, chainCode, ownerFields,
  )
}

/**
 * C opens an import with its own half, which is taken over and overwritten at the end.
 * @throws ProtocolFault class A import_refused: points, or a half that is not the one its point says.
 */
export function startImportC(
  inputs: DkgInputs,
  { opening, owner, envelopeS, share }: {
    readonly opening: ImportOpening
    readonly owner: ImportOwner
    readonly envelopeS: Uint8Array
    readonly share: Uint8Array
  },
): { readonly state: ImportC1; readonly body: Uint8Array } {
  const group = groupOf(opening.alg)
  const own = ownedCopy(share)
  return guard([wipeable(own)], () => {
    assertOpening(group, opening, ROLE_C, own)
    const { generator, wctx0 } = openImport(inputs, ROLE_C, opening.alg, own)
    return guard([generator], () => {
      const nonceC = inputs.entropy.nonce32()
      const body = encodeIM1(nonceC, opening, envelopeS, encodeImportOwner(owner))
      const tr = extendTranscript(emptyTranscript(), ROLE_C, FRAME_TYPES.IM1, body)
      return { state: { spent: false, inputs, group, opening, owner, generator, share: own, tr, nonceC, wctx0 }, body }
    })
  })
}

/** What IM1 says, before the half inside is opened. Throws as `answerImportS`. */
export function readImport(message: SessionMessage): {
  readonly nonceC: Uint8Array
  readonly opening: ImportOpening
  readonly envelope: Uint8Array
  readonly ownerFields: Uint8Array
  readonly owner: ImportOwner
} {
  assertNoSid(message.sid)
  const { body } = message
  assertBodyLength(body, bodyLengthFromCounts(FRAME_TYPES.IM1, body))
  const reader = new BodyReader(body)
  const nonceC = reader.take(32).slice()
  const alg = reader.u8()
  if (alg !== ALG_SECP256K1 && alg !== ALG_ED25519) throw violation('algorithm')
  const importId = reader.take(16).slice()
  const point = () => reader.take(groupOf(alg).pointBytes).slice()
  const [publicKey, pointC, pointS] = [point(), point(), point()]
  const chainCode = reader.take(32).slice()
  const envelope = reader.take(IMPORT_ENVELOPE_BYTES).slice()
  const ownerFields = reader.take(reader.u16()).slice()
  const opening = { alg, importId, publicKey, pointC, pointS, chainCode } as const
  return { nonceC, opening, envelope, ownerFields, owner: decodeImportOwner(ownerFields) }
}

/**
 * S answers IM1 with IM2 = N_S ‖ A_S ‖ z_S.
 * @param open the half that was sealed to S under this additional data; undefined when it does not open.
 * @throws ProtocolFault class C: length, sid in the header, algorithm; class A import_refused: owner fields, points, a
 *   half that does not open or is not the one its point says.
 */
export function answerImportS(
  inputs: DkgInputs,
  message: SessionMessage,
  open: (aad: Uint8Array, envelope: Uint8Array) => Uint8Array | undefined,
): { readonly state: ImportS2; readonly sid: Uint8Array; readonly body: Uint8Array } {
  const { nonceC, opening, envelope, ownerFields, owner } = readImport(message)
  const share = open(importAad(opening, ROLE_S, inputs.link.idS, ownerFields), envelope)
  if (share === undefined) throw refused('the sealed half does not open')
  const group = groupOf(opening.alg)
  return guard([wipeable(share)], () => {
    assertOpening(group, opening, ROLE_S, share)
    const { generator, wctx0 } = openImport(inputs, ROLE_S, opening.alg, share)
    return guard([generator], () => {
      const tr1 = extendTranscript(emptyTranscript(), ROLE_C, FRAME_TYPES.IM1, message.body)
      generator.mix(tr1)
      const nonceS = inputs.entropy.nonce32()
      const sid = importSid(wctx0, nonceC, nonceS, opening)
      const body = concatBytes(nonceS, prove({ group, sid, role: ROLE_S, point: opening.pointS, share, generator }))
      const tr = extendTranscript(tr1, ROLE_S, FRAME_TYPES.IM2, body)
      return { state: { spent: false, inputs, group, opening, owner, generator, share, tr, sid }, sid, body }
    })
  })
}

/**
 * C checks IM2 and gives its PENDING record, to be durable before IM3 = A_C ‖ z_C ‖ conf_C is sent.
 * @throws ProtocolFault class C: length, point, scalar, proof; class A: sid.
 */
export function openImportC(
  state: ImportC1,
  message: SessionMessage,
): { readonly state: ImportC3; readonly pending: PendingImport; readonly body: Uint8Array } {
  spend(state)
  const { group, generator, opening, share, inputs } = state
  const step = guard([generator, wipeable(share)], () => {
    assertBodyLength(message.body, 32 + group.pointBytes + SCALAR_BYTES)
    const sid = importSid(state.wctx0, state.nonceC, message.body.subarray(0, 32), opening)
    assertSid(message.sid, sid)
    assertProof(group, sid, ROLE_S, opening.pointS, message.body.subarray(32))
    const tr2 = extendTranscript(state.tr, ROLE_S, FRAME_TYPES.IM2, message.body)
    generator.mix(tr2)
    const proof = prove({ group, sid, role: ROLE_C, point: opening.pointC, share, generator })
    const tr = extendTranscript(tr2, ROLE_C, FRAME_TYPES.IM3, proof)
    return {
      state: { spent: false, sid, confS: confOf(sid, ROLE_S, tr, opening) },
      pending: pendingOf(state, inputs.link, ROLE_C, sid),
      body: concatBytes(proof, confOf(sid, ROLE_C, tr, opening)),
    }
  })
  generator.wipe()
  return step
}

/**
 * S checks IM3 and gives its PENDING record, to be durable before IM4 = conf_S is sent.
 * @throws ProtocolFault class C: length, point, scalar, proof, conf_C.
 */
export function finishImportS(state: ImportS2, body3: Uint8Array): { readonly pending: PendingImport; readonly body: Uint8Array } {
  spend(state)
  const { group, generator, opening, share, inputs, sid } = state
  const step = guard([generator, wipeable(share)], () => {
    const proofBytes = group.pointBytes + SCALAR_BYTES
    assertBodyLength(body3, proofBytes + 32)
    const proof = body3.subarray(0, proofBytes)
    assertProof(group, sid, ROLE_C, opening.pointC, proof)
    const tr = extendTranscript(state.tr, ROLE_C, FRAME_TYPES.IM3, proof)
    assertConf(body3.subarray(proofBytes), confOf(sid, ROLE_C, tr, opening))
    return { pending: pendingOf(state, inputs.link, ROLE_S, sid), body: confOf(sid, ROLE_S, tr, opening) }
  })
  generator.wipe()
  return step
}

/** C checks IM4: S has stored its half. C's commit decides. @throws ProtocolFault class C: length, conf_S. */
export function finishImportC(state: ImportC3, body4: Uint8Array): void {
  spend(state)
  assertBodyLength(body4, 32)
  assertConf(body4, state.confS)
}

/** Ends an import that will not go on before a record exists: every secret is overwritten. */
export function abandonImport(state: ImportC1 | ImportS2): void {
  if (state.spent) return
  state.spent = true
  state.generator.wipe()
  state.share.fill(0)
}

function openImport(inputs: DkgInputs, role: Role, alg: Alg, share: Uint8Array) {
  const { link, entropy, hk } = inputs
  const wctx0 = walletContext0(link, alg, 'import')
  const generator = new OperationGenerator(entropy, {
    op: 'import',
    idOwn: role === ROLE_C ? link.idC : link.idS,
    role,
    context: wctx0,
    ownShares: [share],
    ...(hk === undefined ? {} : { hk }),
  })
  return { generator, wctx0 }
}

/** x_i·G = X_i, X_C + X_S = PK, X_C ≠ X_S. */
function assertOpening(group: Group, opening: ImportOpening, role: Role, share: Uint8Array): void {
  const { publicKey, pointC, pointS } = opening
  const own = role === ROLE_C ? pointC : pointS
  if (![publicKey, pointC, pointS].every((point) => point.length === group.pointBytes && group.isPoint(point))) {
    throw refused('points')
  }
  if (equalBytes(pointC, pointS)) throw refused('the halves are equal')
  const sum = group.addPoints([pointC, pointS])
  if (sum === undefined || !equalBytes(sum, publicKey)) throw refused('the halves do not add up to the public key')
  const inRange = share.length === SCALAR_BYTES && group.isCanonicalScalar(share) && !isZeroScalar(share)
  if (!inRange || !equalBytes(group.mulBase(share), own)) throw refused('the half is not the one its point says')
}

function importSid(wctx0: Uint8Array, nonceC: Uint8Array, nonceS: Uint8Array, opening: ImportOpening): Uint8Array {
  const { importId, publicKey, pointC, pointS, chainCode } = opening
  return walletSid(
    wctx0, 'import', nonceC, nonceS, importId, taggedHash('import/open', publicKey, pointC, pointS, chainCode),
  )
}

type Proving = {
  readonly group: Group
  readonly sid: Uint8Array
  readonly role: Role
  readonly point: Uint8Array
  readonly share: Uint8Array
  readonly generator: OperationGenerator
}

/** A ‖ z. Draws a, so it is called only after the peer's nonce is mixed in. */
function prove({ group, sid, role, point, share, generator }: Proving): Uint8Array {
  const nonce = generator.nonZeroScalar(group)
  try {
    const noncePoint = group.mulBase(nonce)
    const challenge = hashToScalarOf(group, 'import/pok', sid, u8(role), point, noncePoint)
    return concatBytes(noncePoint, respond(nonce, challenge, share, group))
  } finally {
    nonce.fill(0)
  }
}

function assertProof(group: Group, sid: Uint8Array, role: Role, point: Uint8Array, proof: Uint8Array): void {
  const reader = new BodyReader(proof)
  const noncePoint = reader.point(group)
  const response = reader.scalar(group)
  const challenge = hashToScalarOf(group, 'import/pok', sid, u8(role), point, noncePoint)
  if (!verifyResponse(response, noncePoint, challenge, point, group)) throw violation('proof of knowledge')
}

function confOf(sid: Uint8Array, role: Role, tr: Uint8Array, { publicKey, chainCode }: ImportOpening): Uint8Array {
  return taggedHash('import/conf', sid, u8(role), tr, publicKey, chainCode)
}

function assertConf(got: Uint8Array, expected: Uint8Array): void {
  if (!timingSafeEqual(got, expected)) throw violation('import confirmation')
}

function pendingOf(state: Common, { linkId }: LinkParties, role: Role, sid: Uint8Array): PendingImport {
  const { opening, inputs, share, group, owner } = state
  const record: WalletRecord = {
    alg: group.alg,
    role,
    state: 'PENDING',
    walletId: walletIdOf(sid, 0),
    linkId,
    wEpoch: 0,
    minLinkEpoch: inputs.lEpoch,
    share,
    pointC: opening.pointC,
    pointS: opening.pointS,
    publicKey: opening.publicKey,
    chainCode: opening.chainCode,
    origin: 'import',
    createdAtMs: inputs.nowMs,
    refreshCount: 0,
  }
  return { sid, records: [record], importId: opening.importId, owner }
}

function encodeIM1(nonceC: Uint8Array, opening: ImportOpening, envelopeS: Uint8Array, ownerFields: Uint8Array): Uint8Array {
  const { alg, importId, publicKey, pointC, pointS, chainCode } = opening
  if (envelopeS.length !== IMPORT_ENVELOPE_BYTES || importId.length !== 16 || chainCode.length !== 32) {
    throw refused('lengths')
  }
  return concatBytes(
    nonceC, u8(alg), importId, publicKey, pointC, pointS, chainCode, envelopeS, u16(ownerFields.length), ownerFields,
  )
}

function ownedCopy(share: Uint8Array): Uint8Array {
  const own = secretBytes(share.length)
  own.set(share)
  share.fill(0)
  return own
}
