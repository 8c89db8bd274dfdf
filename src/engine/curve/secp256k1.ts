/**
 * Points of secp256k1 through libsecp256k1. Scalars come in as 32 bytes little-endian and are reversed into
 * temporaries that are overwritten. Points are 33 bytes SEC1 compressed; where a function says so it also takes
 * and gives 65 uncompressed bytes, which saves a square root on the way in. The identity has no encoding: a result
 * that may be the identity is `undefined` then.
 */
import { secretBytes } from '../hash/encoding.ts'
import { openBinding } from './binding.ts'

const binding = openBinding()

const COMPRESSED = 33
const UNCOMPRESSED = 65

/** Blinds the base-point multiplications; once at start and hourly, with 32 secret random bytes. Overwrites them. */
export function contextRandomize(seed: Uint8Array): void {
  const copy = secretBytes(seed.length)
  copy.set(seed)
  binding.contextRandomize(copy)
  copy.fill(0)
  seed.fill(0)
}

/**
 * scalar·G, constant-time.
 * @throws for 0 and for scalars ≥ q: an own degenerate value, class B, or D inside a class-D check.
 */
export function mulBase(scalar: Uint8Array): Uint8Array {
  return withBigEndian(scalar, (secret) => binding.publicKeyCreate(secret, true, new Uint8Array(COMPRESSED)))
}

/** As `mulBase`, with a 65-byte result. */
export function mulBaseUncompressed(scalar: Uint8Array): Uint8Array {
  return withBigEndian(scalar, (secret) => binding.publicKeyCreate(secret, false, new Uint8Array(UNCOMPRESSED)))
}

/** scalar·point, constant-time in the scalar; the point 33 or 65 bytes. Throws as `mulBase`. */
export function mulSecret(scalar: Uint8Array, point: Uint8Array): Uint8Array {
  return multiply(scalar, point, compress, COMPRESSED)
}

/** As `mulSecret`, with a 65-byte result for further sums. */
export function mulSecretUncompressed(scalar: Uint8Array, point: Uint8Array): Uint8Array {
  return multiply(scalar, point, join, UNCOMPRESSED)
}

/** scalar·point in variable time: for public scalars only. Throws for 0 and for scalars ≥ q. */
export function mulPublic(scalar: Uint8Array, point: Uint8Array): Uint8Array {
  return withBigEndian(scalar, (k) => binding.publicKeyTweakMul(point, k, true, new Uint8Array(COMPRESSED)))
}

/** The sum of one or more valid points (33 or 65 bytes each), or undefined when it is the identity. */
export function addPoints(points: readonly Uint8Array[]): Uint8Array | undefined {
  return combine(points, COMPRESSED)
}

/** As `addPoints`, with a 65-byte result. */
export function addPointsUncompressed(points: readonly Uint8Array[]): Uint8Array | undefined {
  return combine(points, UNCOMPRESSED)
}

export function negatePoint(point: Uint8Array): Uint8Array {
  return binding.publicKeyNegate(point, true, new Uint8Array(COMPRESSED))
}

/** As `negatePoint`, with a 65-byte result. */
export function negatePointUncompressed(point: Uint8Array): Uint8Array {
  return binding.publicKeyNegate(point, false, new Uint8Array(UNCOMPRESSED))
}

/** True for exactly 33 bytes with prefix 02 or 03 and x < p on the curve. */
export function isPoint(bytes: Uint8Array): boolean {
  if (bytes.length !== COMPRESSED || (bytes[0] !== 2 && bytes[0] !== 3)) return false
  return binding.publicKeyVerify(bytes)
}

/** 04 ‖ x ‖ y. Throws when the bytes are no point. */
export function decompress(point: Uint8Array): Uint8Array {
  return binding.publicKeyConvert(point, false, new Uint8Array(UNCOMPRESSED))
}

/** The 33-byte form of a valid point of 65 bytes. */
export function compressPoint(point: Uint8Array): Uint8Array {
  return compress(point.subarray(1, 33), point.subarray(33))
}

/** The 65-byte form of what `isPoint` accepts, undefined for anything else. */
export function parsePoint(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length !== COMPRESSED || (bytes[0] !== 2 && bytes[0] !== 3)) return undefined
  try {
    return decompress(bytes)
  } catch {
    return undefined
  }
}

/** The x coordinate, 32 bytes big-endian. */
export function pointX(point: Uint8Array): Uint8Array {
  return point.slice(1, 33)
}

/** The point with this x (32 bytes big-endian) and parity of y, or undefined when no point has it. */
export function pointFromX(x: Uint8Array, odd: boolean): Uint8Array | undefined {
  if (x.length !== 32) throw new RangeError('x has 32 bytes')
  const point = new Uint8Array(COMPRESSED)
  point[0] = odd ? 3 : 2
  point.set(x, 1)
  return isPoint(point) ? point : undefined
}

/**
 * ECDSA verification of a low-s signature (r, s big-endian) over a 32-byte digest. False for high s, for r or s
 * that are zero or not below q. The point has 33 or 65 bytes.
 */
export function verifySignature(r: Uint8Array, s: Uint8Array, digest: Uint8Array, point: Uint8Array): boolean {
  const signature = joinSignature(r, s)
  if (digest.length !== 32) throw new RangeError('a digest has 32 bytes')
  if (point.length !== COMPRESSED && point.length !== UNCOMPRESSED) throw new RangeError('not a point')
  try {
    return binding.ecdsaVerify(signature, digest, point)
  } catch {
    if (!binding.publicKeyVerify(point)) throw new RangeError('not a point')
    // The library throws for r or s at or above q.
    return false
  }
}

/** The public key a signature was made with, or undefined when (r, s, recid) names none. */
export function recoverPoint(
  r: Uint8Array,
  s: Uint8Array,
  recid: number,
  digest: Uint8Array,
): Uint8Array | undefined {
  const signature = joinSignature(r, s)
  if (digest.length !== 32) throw new RangeError('a digest has 32 bytes')
  if (!Number.isInteger(recid) || recid < 0 || recid > 3) return undefined
  try {
    return binding.ecdsaRecover(signature, recid, digest, true, new Uint8Array(COMPRESSED))
  } catch {
    return undefined
  }
}

function combine(points: readonly Uint8Array[], length: number): Uint8Array | undefined {
  try {
    return binding.publicKeyCombine(points, length === COMPRESSED, new Uint8Array(length))
  } catch (error) {
    if (points.length > 0 && points.every((point) => binding.publicKeyVerify(point))) return undefined
    throw error
  }
}

function joinSignature(r: Uint8Array, s: Uint8Array): Uint8Array {
  if (r.length !== 32 || s.length !== 32) throw new RangeError('r and s have 32 bytes')
  const signature = new Uint8Array(64)
  signature.set(r, 0)
  signature.set(s, 32)
  return signature
}

/** One place for every scalar and every product on their way, outside V8's heap and overwritten after each call. */
const BIG_ENDIAN = secretBytes(32)
const X = secretBytes(32)
const Y = secretBytes(32)

function multiply(
  scalar: Uint8Array,
  point: Uint8Array,
  encode: (x: Uint8Array, y: Uint8Array) => Uint8Array,
  length: number,
): Uint8Array {
  // The binding copies what the callback gives, so that is one more place where the product lies.
  let encoded: Uint8Array | undefined
  const hashfn = (x: Uint8Array, y: Uint8Array): Uint8Array => (encoded = encode(x, y))
  const options = { hashfn, xbuf: X, ybuf: Y }
  try {
    return withBigEndian(scalar, (k) => binding.ecdh(point, k, options, secretBytes(length)))
  } finally {
    X.fill(0)
    Y.fill(0)
    encoded?.fill(0)
  }
}

function compress(x: Uint8Array, y: Uint8Array): Uint8Array {
  const point = secretBytes(COMPRESSED)
  point[0] = 2 | ((y[31] ?? 0) & 1)
  point.set(x, 1)
  return point
}

function join(x: Uint8Array, y: Uint8Array): Uint8Array {
  const point = secretBytes(UNCOMPRESSED)
  point[0] = 4
  point.set(x, 1)
  point.set(y, 33)
  return point
}

/** Not to be nested. */
function withBigEndian<T>(scalar: Uint8Array, use: (bigEndian: Uint8Array) => T): T {
  if (scalar.length !== 32) throw new RangeError('a scalar has 32 bytes')
  BIG_ENDIAN.set(scalar)
  BIG_ENDIAN.reverse()
  try {
    return use(BIG_ENDIAN)
  } finally {
    BIG_ENDIAN.fill(0)
  }
}
