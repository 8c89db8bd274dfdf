/**
 * BIP32 non-hardened derivation as a public tweak (docs/protocol.md §11). Child private shares are never formed:
 * the tweak enters only through w_i of the online step. Variable time is fine, every value here is public.
 */
import { createHmac } from 'node:crypto'
import { addPoints, mulBase } from '../curve/secp256k1.ts'
import { isCanonicalScalar, isZeroScalar, scalarAdd } from '../kernel/scalar.ts'
import { benign, degenerate } from './fault.ts'
import { MAX_DEPTH } from './suite.ts'

export type ChildKey = {
  /** t = Σ t_i mod q, 32 bytes little-endian; zero for the root. */
  readonly tweak: Uint8Array
  /** PK' = PK + t·G. */
  readonly publicKey: Uint8Array
  readonly chainCode: Uint8Array
}

const HARDENED = 2 ** 31

/**
 * "m" or "m/1/2": decimal indices below 2^31, no leading zeros, no sign, no hardened marker, at most 10 levels. Text
 * stands at the edge only; the wire carries the numbers.
 * @throws ProtocolFault class A policy_denied for anything else.
 */
export function parsePath(text: string): readonly number[] {
  if (!/^m(\/(0|[1-9][0-9]{0,9})){0,10}$/.test(text)) throw benign('policy_denied', 'path is not canonical')
  const path = text.split('/').slice(1).map(Number)
  if (path.some((index) => index >= HARDENED)) throw benign('policy_denied', 'hardened or invalid index')
  return path
}

/**
 * The key at `path` below (publicKey, chainCode); the empty path is the key itself.
 * @throws ProtocolFault class A policy_denied: more than 10 levels, a hardened or non-u32 index (an API caller
 *   chose it); class B: an invalid child (t_i ≥ q, or the identity), the caller takes the next index.
 */
export function deriveChild(publicKey: Uint8Array, chainCode: Uint8Array, path: readonly number[]): ChildKey {
  if (path.length > MAX_DEPTH) throw benign('policy_denied', 'path too deep')
  if (path.some((index) => !Number.isInteger(index) || index < 0 || index >= HARDENED)) {
    throw benign('policy_denied', 'hardened or invalid index')
  }
  let child: ChildKey = { tweak: new Uint8Array(32), publicKey, chainCode }
  for (const index of path) child = deriveStep(child, index)
  return child
}

/** I = HMAC-SHA512(cc, ser33(P) ‖ u32be(i)); t_i = I_L big-endian, cc' = I_R. */
function deriveStep(parent: ChildKey, index: number): ChildKey {
  const indexBe = new Uint8Array(4)
  new DataView(indexBe.buffer).setUint32(0, index)
  const mac = createHmac('sha512', parent.chainCode).update(parent.publicKey).update(indexBe).digest()
  const step = new Uint8Array(mac.subarray(0, 32)).toReversed()
  if (!isCanonicalScalar(step)) throw degenerate('invalid child')
  const publicKey = isZeroScalar(step) ? parent.publicKey : addPoints([parent.publicKey, mulBase(step)])
  if (publicKey === undefined) throw degenerate('invalid child')
  return { tweak: scalarAdd(parent.tweak, step), publicKey, chainCode: new Uint8Array(mac.subarray(32)) }
}
