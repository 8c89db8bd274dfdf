import { failure } from '../domain/failure.ts'
import { bytesToBigint } from './bytes.ts'

/** The order of secp256k1's group (SEC 2, §2.4.1). */
export const SECP256K1_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

/**
 * The one gate every digest passes before it is signed: exactly a Uint8Array of 32 bytes, and neither 0 nor the
 * group's order, which are zero as ECDSA scalars. Refuses with DIGEST_REFUSED.
 */
export const checkDigest = (digest: Uint8Array): Uint8Array => {
  if (!(digest instanceof Uint8Array) || digest.length !== 32)
    throw failure('DIGEST_REFUSED', { why: 'it is not 32 bytes' })
  const scalar = bytesToBigint(digest)
  if (scalar === 0n || scalar === SECP256K1_ORDER)
    throw failure('DIGEST_REFUSED', { why: 'it is zero as a scalar' })
  return digest
}
