/**
 * Points and scalars of the prime-order group of Ed25519 through libsodium. Points are 32 bytes, RFC 8032; scalars
 * 32 bytes little-endian below L. Scalar arithmetic and multiplication are constant-time. `ed25519Ready` resolves
 * before anything else here may be called: the thread that holds shares awaits it at its start.
 */
import { createPublicKey, timingSafeEqual, verify } from 'node:crypto'
import { equalBytes, secretBytes } from '../hash/encoding.ts'
import { nonceSum } from './nonce-sum.ts'
import { at, isValidIn, openSodium, type Sodium, type SodiumCall } from './sodium.ts'

export const ED25519_BYTES = 32
const SIGNATURE_BYTES = 64

/** (0, 1): what no received point and no published sum may be. */
const IDENTITY: Uint8Array = Uint8Array.of(1, ...new Uint8Array(31))

const ZERO = new Uint8Array(ED25519_BYTES)

let library: SodiumCall | undefined
let opening: Promise<void> | undefined

/**
 * Opens libsodium once. @throws as `openSodium`: a library that does not check points is refused at start; and when
 * the kernel's sum of points is not the library's.
 */
export function ed25519Ready(): Promise<void> {
  opening ??= openSodium().then((call) => {
    library = call
    assertSameSum()
  })
  return opening
}

/** True for the encoding of (0, 1), the sum that no protocol value may be. */
export function isIdentity(point: Uint8Array): boolean {
  return equalBytes(point, IDENTITY)
}

/** scalar·B, constant-time. @throws for the scalar 0: an own degenerate value. */
export function mulBase(scalar: Uint8Array): Uint8Array {
  return result([scalar], (s, out, [n]) => s._crypto_scalarmult_ed25519_base_noclamp(out, at(n)))
}

/** scalar·point, constant-time. @throws for the scalar 0 and for a point that is not `isValidPoint`. */
export function mulPoint(scalar: Uint8Array, point: Uint8Array): Uint8Array {
  return result([scalar, point], (s, out, [n, p]) => s._crypto_scalarmult_ed25519_noclamp(out, at(n), at(p)))
}

/** The sum of one or more valid points, or undefined when it is the identity. @throws for bytes off the curve. */
export function addPoints(points: readonly Uint8Array[]): Uint8Array | undefined {
  const [first, ...rest] = points
  if (first === undefined) throw new RangeError('a sum has at least one point')
  const add = (s: Sodium, out: number, [p, q]: readonly number[]) => s._crypto_core_ed25519_add(out, at(p), at(q))
  const sum = rest.reduce((left, right) => result([left, right], add), first)
  return isIdentity(sum) ? undefined : sum
}

/** p − q, or undefined when it is the identity. */
export function subtractPoints(p: Uint8Array, q: Uint8Array): Uint8Array | undefined {
  const difference = result([p, q], (s, out, [a, b]) => s._crypto_core_ed25519_sub(out, at(a), at(b)))
  return isIdentity(difference) ? undefined : difference
}

/** Exactly 32 bytes: canonical, on the curve, in the prime-order subgroup, not the identity. */
export function isValidPoint(bytes: Uint8Array): boolean {
  if (bytes.length !== ED25519_BYTES) return false
  return isValidIn(open(), bytes)
}

/** a + b mod L. */
export function scalarAdd(a: Uint8Array, b: Uint8Array): Uint8Array {
  return scalarResult([a, b], (s, out, [x, y]) => s._crypto_core_ed25519_scalar_add(out, at(x), at(y)))
}

/** a − b mod L. */
export function scalarSub(a: Uint8Array, b: Uint8Array): Uint8Array {
  return scalarResult([a, b], (s, out, [x, y]) => s._crypto_core_ed25519_scalar_sub(out, at(x), at(y)))
}

/** a · b mod L. */
export function scalarMul(a: Uint8Array, b: Uint8Array): Uint8Array {
  return result([a, b], (s, out, [x, y]) => s._crypto_core_ed25519_scalar_mul(out, at(x), at(y)))
}

/** −a mod L. */
export function scalarNegate(a: Uint8Array): Uint8Array {
  return scalarResult([a], (s, out, [x]) => s._crypto_core_ed25519_scalar_negate(out, at(x)))
}

/** A 64-byte little-endian integer mod L. */
export function scalarReduceWide(wide: Uint8Array): Uint8Array {
  if (wide.length !== 64) throw new RangeError('expected 64 bytes')
  return call([wide], (s, out, [x]) => s._crypto_core_ed25519_scalar_reduce(out, at(x)))
}

/** True for exactly 32 bytes below L. */
export function isCanonicalScalar(bytes: Uint8Array): boolean {
  if (bytes.length !== ED25519_BYTES) return false
  const wide = secretBytes(64)
  wide.set(bytes, 0)
  const reduced = scalarReduceWide(wide)
  try {
    return timingSafeEqual(reduced, bytes)
  } finally {
    wide.fill(0)
    reduced.fill(0)
  }
}

/**
 * Ed25519 verification by node:crypto: S below L, R compared as bytes, no cofactor. `publicKey` is a valid point.
 * False for anything that is not a signature of 64 bytes.
 */
export function verifySignature(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_BYTES) return false
  const x = Buffer.from(publicKey).toString('base64url')
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
  return verify(null, message, key, signature)
}

/** A known answer of the kernel's arithmetic, with factors that fill all bits and windows of either sign. */
function assertSameSum(): void {
  const scalars = [1, 2, 3, 4, 5, 6].map((seed) =>
    scalarReduceWide(Uint8Array.from({ length: 64 }, (_, i) => seed * 89 + i * 151)),
  ) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array]
  const [a, b, c, d, ...factors] = scalars
  const points = [mulBase(a), mulBase(b), mulBase(c), mulBase(d)] as const
  const expected = addPoints([
    points[0], mulPoint(factors[0], points[1]), points[2], mulPoint(factors[1], points[3]),
  ])
  const sum = nonceSum(points, factors)
  if (sum === undefined || expected === undefined || !equalBytes(sum, expected)) {
    throw new Error('the kernel does not add points of Ed25519')
  }
}

function open(): SodiumCall {
  if (library === undefined) throw new Error('ed25519Ready was not awaited')
  return library
}

type Operation = Parameters<SodiumCall>[2]

/** 32 bytes in, 32 bytes out. */
function result(inputs: readonly Uint8Array[], operation: Operation): Uint8Array {
  if (inputs.some((input) => input.length !== ED25519_BYTES)) throw new RangeError('expected 32 bytes')
  return call(inputs, operation)
}

/**
 * As `result`, for operations that leave their operands and the sum on the library's own stack, where nothing else may
 * come by for long: the same on zeros puts zeros in the same places.
 */
function scalarResult(inputs: readonly Uint8Array[], operation: Operation): Uint8Array {
  try {
    return result(inputs, operation)
  } finally {
    result(inputs.map(() => ZERO), operation)
  }
}

function call(inputs: readonly Uint8Array[], operation: Operation): Uint8Array {
  const out = open()(inputs, ED25519_BYTES, operation)
  if (out === undefined) throw new Error('not a valid operation of Ed25519')
  return out
}
