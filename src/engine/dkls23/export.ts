/**
 * Handing a share over to the owner of its wallet (docs/protocol.md §14): what one party asks of the other (0x50) and
 * what it answers (0x51). Each party seals its own share; nobody here ever has both.
 */
import { groupOf } from '../curve/group.ts'
import { ascii, concatBytes, readU64, u16, u32, u64, u8 } from '../hash/encoding.ts'
import { taggedPreimage } from '../hash/tagged-hash.ts'
import { SECRET_ID_BYTES, SIGNATURE_BYTES } from '../sealing/owner-consent.ts'
import {
  KIND_RSA,
  KIND_X25519,
  type Recipient,
  type RecipientKind,
  sealShareTo,
} from '../sealing/share-envelope.ts'
import { violation } from './fault.ts'
import { assertBodyLength, bodyLengthFromCounts, FRAME_TYPES } from './frame.ts'
import type { WalletRecord } from './records.ts'
import { type Alg, ALG_ED25519, ALG_SECP256K1, ROLE_C, ROLE_S, type Role, SHORT_ID_BYTES } from './suite.ts'
import { BodyReader } from './wire.ts'

/** Why the party that is asked may do it: the owner's signature, or what its own operator has said. */
export type ExportConsent =
  | { readonly kind: 'wallet_secret'; readonly secretId: Uint8Array; readonly signature: Uint8Array }
  | { readonly kind: 'operator'; readonly approvalId: Uint8Array }

export type ExportRequest = {
  readonly reqId: Uint8Array
  readonly alg: Alg
  readonly walletId: Uint8Array
  readonly wEpoch: number
  readonly publicKey: Uint8Array
  readonly recipient: Recipient
  readonly expireMs: number
  readonly nonce: Uint8Array
  readonly consent: ExportConsent
}

export type ExportAnswer = {
  readonly reqId: Uint8Array
  readonly alg: Alg
  readonly role: Role
  readonly walletId: Uint8Array
  readonly wEpoch: number
  /** X_i of the share inside. */
  readonly point: Uint8Array
  readonly kind: RecipientKind
  readonly envelope: Uint8Array
}

const CONSENT_WALLET_SECRET = 1
const CONSENT_OPERATOR = 2

/** Additional data of an export envelope: the preimage of TH("aad/export"; walletId, wEpoch, PK, role, "export"). */
export function exportAad(
  wallet: { readonly walletId: Uint8Array; readonly wEpoch: number; readonly publicKey: Uint8Array },
  role: Role,
): Uint8Array {
  return taggedPreimage('aad/export', wallet.walletId, u32(wallet.wEpoch), wallet.publicKey, u8(role), ascii('export'))
}

/**
 * The own share of a record, sealed to the owner's key.
 * @param ephemeral 32 random bytes, used once; the caller wipes them.
 * @throws RangeError on a key that nothing is sealed to.
 */
export function sealOwnShare(record: WalletRecord, recipient: Recipient, ephemeral: Uint8Array): Uint8Array {
  return sealShareTo(recipient, { purpose: 'export', aad: exportAad(record, record.role), ephemeral }, record.share)
}

/** Body of 0x50. */
export function encodeExportRequest(request: ExportRequest): Uint8Array {
  const { recipient, consent } = request
  const auth =
    consent.kind === 'operator' ? consent.approvalId : concatBytes(consent.secretId, consent.signature)
  return concatBytes(
    request.reqId,
    u8(request.alg),
    request.walletId,
    u32(request.wEpoch),
    request.publicKey,
    u8(recipient.kind),
    u16(recipient.key.length),
    recipient.key,
    u64(BigInt(request.expireMs)),
    request.nonce,
    u8(consent.kind === 'operator' ? CONSENT_OPERATOR : CONSENT_WALLET_SECRET),
    u16(auth.length),
    auth,
  )
}

/** @throws ProtocolFault class C: length, algorithm, kind of key or of consent, length of either. */
export function decodeExportRequest(body: Uint8Array): ExportRequest {
  assertBodyLength(body, bodyLengthFromCounts(FRAME_TYPES.EXPORT_REQUEST, body))
  const reader = new BodyReader(body)
  const reqId = reader.take(SHORT_ID_BYTES).slice()
  const alg = algIn(reader)
  const walletId = reader.take(SHORT_ID_BYTES).slice()
  const wEpoch = reader.u32()
  const publicKey = reader.take(groupOf(alg).pointBytes).slice()
  const kind = kindIn(reader)
  const key = reader.take(reader.u16()).slice()
  const expireMs = Number(readU64(reader.take(8), 0))
  const nonce = reader.take(32).slice()
  const consent = consentIn(reader)
  reader.end()
  return { reqId, alg, walletId, wEpoch, publicKey, recipient: { kind, key }, expireMs, nonce, consent }
}

/** Body of 0x51. */
export function encodeExportAnswer(answer: ExportAnswer): Uint8Array {
  return concatBytes(
    answer.reqId,
    u8(answer.alg),
    u8(answer.role),
    answer.walletId,
    u32(answer.wEpoch),
    answer.point,
    u8(answer.kind),
    u16(answer.envelope.length),
    answer.envelope,
  )
}

/** @throws ProtocolFault class C: length, a value out of range, an answer to something else than was asked. */
export function decodeExportAnswer(body: Uint8Array, asked: ExportRequest): ExportAnswer {
  assertBodyLength(body, bodyLengthFromCounts(FRAME_TYPES.EXPORT_ANSWER, body))
  const reader = new BodyReader(body)
  const reqId = reader.take(SHORT_ID_BYTES).slice()
  const alg = algIn(reader)
  const role = reader.u8()
  if (role !== ROLE_C && role !== ROLE_S) throw violation('role of an export')
  const walletId = reader.take(SHORT_ID_BYTES).slice()
  const wEpoch = reader.u32()
  const point = reader.point(groupOf(alg)).slice()
  const kind = kindIn(reader)
  const envelope = reader.take(reader.u16()).slice()
  reader.end()
  const answer = { reqId, alg, role, walletId, wEpoch, point, kind, envelope } as const
  const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
  const fits = same(reqId, asked.reqId) && same(walletId, asked.walletId) && alg === asked.alg
  if (!fits || wEpoch !== asked.wEpoch || kind !== asked.recipient.kind) throw violation('answer to another export')
  return answer
}

function algIn(reader: BodyReader): Alg {
  const alg = reader.u8()
  if (alg !== ALG_SECP256K1 && alg !== ALG_ED25519) throw violation('algorithm')
  return alg
}

function kindIn(reader: BodyReader): RecipientKind {
  const kind = reader.u8()
  if (kind !== KIND_X25519 && kind !== KIND_RSA) throw violation('kind of key')
  return kind
}

function consentIn(reader: BodyReader): ExportConsent {
  const kind = reader.u8()
  const auth = reader.take(reader.u16()).slice()
  if (kind === CONSENT_WALLET_SECRET && auth.length === SECRET_ID_BYTES + SIGNATURE_BYTES) {
    const [secretId, signature] = [auth.slice(0, SECRET_ID_BYTES), auth.slice(SECRET_ID_BYTES)]
    return { kind: 'wallet_secret', secretId, signature }
  }
  if (kind === CONSENT_OPERATOR && auth.length === SHORT_ID_BYTES) return { kind: 'operator', approvalId: auth }
  throw violation('kind of consent')
}
