/**
 * The two messages of an online signature and their bytes (docs/protocol.md §10.0). The header's sid is zero in
 * both.
 */
import { concatBytes, equalBytes, u32, u8 } from '../hash/encoding.ts'
import { taggedHash } from '../hash/tagged-hash.ts'
import { violation } from './fault.ts'
import { assertBodyLength, bodyLengthFromCounts, FRAME_TYPES } from './frame.ts'
import { BodyReader } from './wire.ts'

export type SignRequest = {
  readonly linkId: Uint8Array
  readonly walletId: Uint8Array
  readonly wEpoch: number
  readonly presigId: Uint8Array
  readonly reqId: Uint8Array
  /** m: the 32-byte digest as C sees it. */
  readonly digest: Uint8Array
  readonly path: readonly number[]
  /** PK'. */
  readonly childKey: Uint8Array
  readonly echo: Uint8Array
  readonly w: Uint8Array
  readonly u: Uint8Array
  readonly payload: Uint8Array
}

/** r and s big-endian. */
export type EcdsaSignature = { readonly r: Uint8Array; readonly s: Uint8Array; readonly recid: number }

/** Body of 0x20. It is a release: from here on C counts the signature as made. */
export function encodeSignRequest(request: SignRequest): Uint8Array {
  return concatBytes(
    request.linkId,
    request.walletId,
    u32(request.wEpoch),
    request.presigId,
    request.reqId,
    request.digest,
    encodePath(request.path),
    request.childKey,
    request.echo,
    request.w,
    request.u,
    u32(request.payload.length),
    request.payload,
  )
}

/**
 * Reads the fields of 0x20 without judging them: w, u, path and key are looked at only after the presignature that
 * the request names was taken out of its map. Fields are views of the body.
 * @throws ProtocolFault class C: length other than 218 + 4·depth + payloadLen, linkId other than the header's.
 */
export function decodeSignRequest(body: Uint8Array, headerLinkId: Uint8Array): SignRequest {
  assertBodyLength(body, bodyLengthFromCounts(FRAME_TYPES.SIGN_REQUEST, body))
  const reader = new BodyReader(body)
  const linkId = reader.take(16)
  if (!equalBytes(linkId, headerLinkId)) throw violation('link id of body and header differ')
  const walletId = reader.take(16)
  const wEpoch = reader.u32()
  const presigId = reader.take(16)
  const reqId = reader.take(16)
  const digest = reader.take(32)
  const depth = reader.u8()
  const path = Array.from({ length: depth }, () => reader.u32())
  const childKey = reader.take(33)
  const echo = reader.take(16)
  const w = reader.take(32)
  const u = reader.take(32)
  const payload = reader.take(reader.u32())
  reader.end()
  return { linkId, walletId, wEpoch, presigId, reqId, digest, path, childKey, echo, w, u, payload }
}

/** TH("sign/req"; walletId, wEpoch, m, path, PK', payload): what a retry under one reqId must repeat. */
export function signRequestKey(
  request: Pick<SignRequest, 'walletId' | 'wEpoch' | 'digest' | 'path' | 'childKey' | 'payload'>,
): Uint8Array {
  const { walletId, wEpoch, digest, path, childKey, payload } = request
  return taggedHash('sign/req', walletId, u32(wEpoch), digest, encodePath(path), childKey, payload)
}

/** Body of 0x21: reqId ‖ r ‖ s ‖ recid. */
export function encodeSignResponse(reqId: Uint8Array, signature: EcdsaSignature): Uint8Array {
  return concatBytes(reqId, signature.r, signature.s, u8(signature.recid))
}

/** @throws ProtocolFault class C on another length than 81. */
export function decodeSignResponse(body: Uint8Array): { reqId: Uint8Array; signature: EcdsaSignature } {
  assertBodyLength(body, 81)
  const reader = new BodyReader(body)
  const reqId = reader.take(16).slice()
  const [r, s] = [reader.take(32).slice(), reader.take(32).slice()]
  return { reqId, signature: { r, s, recid: reader.u8() } }
}

/** depth ‖ depth × u32. */
function encodePath(path: readonly number[]): Uint8Array {
  return concatBytes(u8(path.length), ...path.map((index) => u32(index)))
}
