/** Schnorr proof of knowledge of a key share (docs/protocol.md §5, §12). The challenge binds session and role. */
import { type Group, SECP256K1_GROUP } from '../curve/group.ts'
import { equalBytes } from '../hash/encoding.ts'
import { isZeroScalar } from '../kernel/scalar.ts'

/** z = a + e·x. The product is overwritten; a and x stay with the caller. */
export function respond(
  nonce: Uint8Array,
  challenge: Uint8Array,
  share: Uint8Array,
  group: Group = SECP256K1_GROUP,
): Uint8Array {
  const product = group.scalarMul(challenge, share)
  try {
    return group.scalarAdd(nonce, product)
  } finally {
    product.fill(0)
  }
}

/** z·G = A + e·X, on public values; the identity is an ordinary value on both sides. z is canonical. */
export function verifyResponse(
  response: Uint8Array,
  noncePoint: Uint8Array,
  challenge: Uint8Array,
  sharePoint: Uint8Array,
  group: Group = SECP256K1_GROUP,
): boolean {
  const left = isZeroScalar(response) ? undefined : group.mulBase(response)
  const right = group.addPoints([noncePoint, group.mulPublic(challenge, sharePoint)])
  if (left === undefined || right === undefined) return left === right
  return equalBytes(left, right)
}
