import { createPublicKey, verify } from 'node:crypto'
import { failure } from '../domain/failure.ts'

const SIGNATURE_BYTES = 64

/**
 * Whether an Ed25519 signature (RFC 8032, R ‖ S) is `publicKey`'s over the bytes of `message`. S at or above the
 * group order is false. Refuses (SIGNATURE_MALFORMED) what has not 64 bytes.
 */
export const isEd25519Signature = (
  signature: Uint8Array,
  message: Uint8Array,
  publicKey: Uint8Array,
): boolean => {
  if (signature.length !== SIGNATURE_BYTES)
    throw failure('SIGNATURE_MALFORMED', { why: `an Ed25519 signature has ${SIGNATURE_BYTES} bytes` })
  const x = Buffer.from(publicKey).toString('base64url')
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
  return verify(null, message, key, signature)
}
