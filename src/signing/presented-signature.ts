import { bytesToBigint } from '../payload/bytes.ts'
import { SECP256K1_ORDER } from '../payload/digest.ts'
import type { EvmSignature } from '../payload/signature.ts'
import { parseSignature } from '../payload/signature.ts'

const HALF_ORDER = SECP256K1_ORDER / 2n
const COMPACT_BYTES = 64

/** EIP-2098's r ‖ yParity·2^255 + s as r ‖ s ‖ v. */
const expandCompact = (compact: Uint8Array): Uint8Array => {
  const full = new Uint8Array(COMPACT_BYTES + 1)
  full.set(compact)
  const high = compact[32] ?? 0
  full[32] = high & 0x7f
  full[COMPACT_BYTES] = high >> 7
  return full
}

/**
 * A signature that somebody presents for checking: r ‖ s ‖ v with v 27, 28, 0 or 1, or EIP-2098's 64 bytes.
 * Undefined when s is in the upper half of the order: well-formed, and nobody's valid signature (EIP-2).
 * Refuses (SIGNATURE_MALFORMED) other lengths, other v, and r or s out of range.
 */
export const parsePresentedSignature = (presented: Uint8Array): EvmSignature | undefined => {
  const bytes = presented.length === COMPACT_BYTES ? expandCompact(presented) : presented
  const s = bytesToBigint(bytes.slice(32, COMPACT_BYTES))
  if (bytes.length === COMPACT_BYTES + 1 && s > HALF_ORDER && s < SECP256K1_ORDER) return undefined
  return parseSignature(bytes, { bareParity: true })
}
