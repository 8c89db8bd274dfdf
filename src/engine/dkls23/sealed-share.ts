/**
 * 0x45, the sealed share of a fork (docs/protocol.md §13): what K hands D for the delegate, and D's word that it has it,
 * the same body without the envelope.
 */
import { groupOf } from '../curve/group.ts'
import { concatBytes, equalBytes, u16, u8 } from '../hash/encoding.ts'
import type { DelegatedShare } from '../sealing/delegated-share.ts'
import { KIND_RSA } from '../sealing/share-envelope.ts'
import { violation } from './fault.ts'
import { assertBodyLength, bodyLengthFromCounts, FRAME_TYPES } from './frame.ts'
import { ALG_ED25519, ALG_SECP256K1, SHORT_ID_BYTES } from './suite.ts'
import { BodyReader } from './wire.ts'

export type SealedShareMessage = Omit<DelegatedShare, 'share'> & {
  /** SHA-256 of the recipient's encryption key (DER of its SubjectPublicKeyInfo), as K knows it. */
  readonly keyId: Uint8Array
  /** As `encodeEnvelopeBytes` has it; empty in D's answer. */
  readonly envelope: Uint8Array
}

/** Body of 0x45. */
export function encodeSealedShare(message: SealedShareMessage): Uint8Array {
  return concatBytes(
    u8(message.alg),
    message.walletId,
    message.idG,
    message.idD,
    message.linkId,
    message.publicKey,
    message.pointG,
    message.pointD,
    message.chainCode,
    u8(KIND_RSA),
    message.keyId,
    u16(message.envelope.length),
    message.envelope,
  )
}

/** @throws ProtocolFault class C: length, algorithm, a point, kind of envelope. */
export function decodeSealedShare(body: Uint8Array): SealedShareMessage {
  assertBodyLength(body, bodyLengthFromCounts(FRAME_TYPES.SEALED_SHARE, body))
  const reader = new BodyReader(body)
  const alg = reader.u8()
  if (alg !== ALG_SECP256K1 && alg !== ALG_ED25519) throw violation('algorithm')
  const group = groupOf(alg)
  const walletId = reader.take(SHORT_ID_BYTES).slice()
  const [idG, idD] = [reader.take(32).slice(), reader.take(32).slice()]
  const linkId = reader.take(SHORT_ID_BYTES).slice()
  const point = (): Uint8Array => reader.point(group).slice()
  const [publicKey, pointG, pointD] = [point(), point(), point()]
  const chainCode = reader.take(32).slice()
  if (reader.u8() !== KIND_RSA) throw violation('kind of envelope')
  const keyId = reader.take(32).slice()
  const envelope = reader.take(reader.u16()).slice()
  reader.end()
  return { alg, walletId, idG, idD, linkId, publicKey, pointG, pointD, chainCode, keyId, envelope }
}

/** @throws ProtocolFault class C unless both speak of the same share for the same key of the same delegate. */
export function assertSameShare(got: SealedShareMessage, expected: Omit<SealedShareMessage, 'envelope'>): void {
  const names = ['walletId', 'idG', 'idD', 'linkId', 'publicKey', 'pointG', 'pointD', 'chainCode', 'keyId'] as const
  const isSame = got.alg === expected.alg && names.every((name) => equalBytes(got[name], expected[name]))
  if (!isSame) throw violation('the sealed share of another fork')
}
