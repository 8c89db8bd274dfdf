/**
 * The two messages of an online Ed25519 signature and their bytes (docs/protocol.md §18). The header's sid is
 * zero.
 */
import { violation } from '../dkls23/fault.ts'
import { assertBodyLength, bodyLengthFromCounts, FRAME_TYPES } from '../dkls23/frame.ts'
import { BodyReader } from '../dkls23/wire.ts'
import { concatBytes, equalBytes, u32, u8 } from '../hash/encoding.ts'
import { taggedHash } from '../hash/tagged-hash.ts'

export type EdSignRequest = {
  readonly linkId: Uint8Array
  readonly walletId: Uint8Array
  readonly wEpoch: number
  readonly presigId: Uint8Array
  readonly reqId: Uint8Array
  /** TH("ed/msg"; m), m as C sees it. */
  readonly messageHash: Uint8Array
  /** z_C. */
  readonly share: Uint8Array
  readonly payload: Uint8Array
}

/** R ‖ z, 64 bytes: a signature of RFC 8032. */
export type EdSignature = Uint8Array

/** TH("ed/msg"; m): what C says it signs, and the digest of the intent rows. */
export function edMessageHash(message: Uint8Array): Uint8Array {
  return taggedHash('ed/msg', message)
}

/** Body of 0x22. It is a release: from here on C counts the signature as made. */
export function encodeEdSignRequest(request: EdSignRequest): Uint8Array {
  return concatBytes(
    request.linkId,
    request.walletId,
    u32(request.wEpoch),
    request.presigId,
    request.reqId,
    request.messageHash,
    request.share,
    u32(request.payload.length),
    request.payload,
  )
}

/**
 * Reads the fields of 0x22 without judging them: z_C is looked at only after the presignature that the request
 * names was taken out of its map. Fields are views of the body.
 * @throws ProtocolFault class C: length other than 136 + payloadLen, linkId other than the header's.
 */
export function decodeEdSignRequest(body: Uint8Array, headerLinkId: Uint8Array): EdSignRequest {
  assertBodyLength(body, bodyLengthFromCounts(FRAME_TYPES.ED_SIGN_REQUEST, body))
  const reader = new BodyReader(body)
  const linkId = reader.take(16)
  if (!equalBytes(linkId, headerLinkId)) throw violation('link id of body and header differ')
  const walletId = reader.take(16)
  const wEpoch = reader.u32()
  const presigId = reader.take(16)
  const reqId = reader.take(16)
  const messageHash = reader.take(32)
  const share = reader.take(32)
  const payload = reader.take(reader.u32())
  reader.end()
  return { linkId, walletId, wEpoch, presigId, reqId, messageHash, share, payload }
}

/** What a retry under one reqId must repeat: TH("sign/req"; …) with an empty path and no child key. */
export function edSignRequestKey(
  request: Pick<EdSignRequest, 'walletId' | 'wEpoch' | 'messageHash' | 'payload'>,
): Uint8Array {
  const { walletId, wEpoch, messageHash, payload } = request
  return taggedHash('sign/req', walletId, u32(wEpoch), messageHash, u8(0), new Uint8Array(0), payload)
}

/** Body of 0x23: reqId ‖ R ‖ z. */
export function encodeEdSignResponse(reqId: Uint8Array, signature: EdSignature): Uint8Array {
  return concatBytes(reqId, signature)
}

/** @throws ProtocolFault class C on another length than 80. */
export function decodeEdSignResponse(body: Uint8Array): { reqId: Uint8Array; signature: EdSignature } {
  assertBodyLength(body, 80)
  const reader = new BodyReader(body)
  return { reqId: reader.take(16).slice(), signature: reader.take(64).slice() }
}
