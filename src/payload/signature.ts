import { failure } from '../domain/failure.ts'
import { bytesToBigint, concatBytes, toHex } from './bytes.ts'
import { SECP256K1_ORDER } from './digest.ts'

/** An ECDSA signature with its recovery bit; r and s are 32 bytes, big-endian, s in the lower half. */
export type EvmSignature = { readonly r: Uint8Array; readonly s: Uint8Array; readonly yParity: 0 | 1 }

export type FormattedSignature = EvmSignature & {
  readonly v: 27 | 28
  /** r ‖ s ‖ v, 65 bytes. */
  readonly raw: Uint8Array
  /** `raw` as 0x and 130 digits. */
  readonly hex: `0x${string}`
}

const HALF_ORDER = SECP256K1_ORDER / 2n

const refuse = (why: string) => failure('SIGNATURE_MALFORMED', { why })

/** Refuses (SIGNATURE_MALFORMED) r or s that are zero, not below the order, or s in the upper half (EIP-2). */
export const checkSignature = (signature: EvmSignature): EvmSignature => {
  const { r, s, yParity } = signature
  if (r.length !== 32 || s.length !== 32) throw refuse('r and s have 32 bytes each')
  const rScalar = bytesToBigint(r)
  const sScalar = bytesToBigint(s)
  if (rScalar === 0n || rScalar >= SECP256K1_ORDER) throw refuse('r is out of range')
  if (sScalar === 0n || sScalar >= SECP256K1_ORDER) throw refuse('s is out of range')
  if (sScalar > HALF_ORDER) throw refuse('s is in the upper half of the group order')
  if (yParity !== 0 && yParity !== 1) throw refuse('the recovery bit is neither 0 nor 1')
  return signature
}

/** All the forms of a signature that callers want. Refuses what `checkSignature` refuses. */
export const formatSignature = (signature: EvmSignature): FormattedSignature => {
  const { r, s, yParity } = checkSignature(signature)
  const v = yParity === 0 ? 27 : 28
  const raw = concatBytes(r, s, Uint8Array.of(v))
  return { r, s, yParity, v, raw, hex: toHex(raw) }
}

/**
 * A signature presented for verification: r ‖ s ‖ v, exactly 65 bytes, v 27 or 28. Refuses (SIGNATURE_MALFORMED)
 * other lengths (EIP-2098's 64 bytes among them), other v (0 and 1 pass when asked for), r or s out of range, high
 * s: of the many encodings of one signature exactly one is accepted.
 */
export const parseSignature = (
  bytes: Uint8Array,
  options: { readonly bareParity?: boolean } = {},
): EvmSignature => {
  if (bytes.length === 64) throw refuse('EIP-2098 compact signatures are not accepted')
  if (bytes.length !== 65) throw refuse('it is not 65 bytes')
  const v = bytes[64] ?? 255
  const bare = options.bareParity === true && v <= 1
  if (!bare && v !== 27 && v !== 28) throw refuse('v is neither 27 nor 28')
  const odd = v === 28 || v === 1
  return checkSignature({ r: bytes.slice(0, 32), s: bytes.slice(32, 64), yParity: odd ? 1 : 0 })
}
