/**
 * Integers modulo q, the order of secp256k1: 32 bytes little-endian, canonical (< q). Every function is
 * constant-time in its operands, returns fresh bytes that the caller owns and wipes, and leaves no copy in the
 * kernel's memory.
 */
import { kernel, memory, place, reserve, take, withArena } from './load.ts'

const SCALAR_BYTES = 32

/** a + b mod q. */
export function scalarAdd(a: Uint8Array, b: Uint8Array): Uint8Array {
  return binary(kernel.scalar_add, a, b)
}

/** a − b mod q. */
export function scalarSub(a: Uint8Array, b: Uint8Array): Uint8Array {
  return binary(kernel.scalar_sub, a, b)
}

/** a · b mod q. */
export function scalarMul(a: Uint8Array, b: Uint8Array): Uint8Array {
  return binary(kernel.scalar_mul, a, b)
}

/** −a mod q. */
export function scalarNegate(a: Uint8Array): Uint8Array {
  return unary(kernel.scalar_negate, a, SCALAR_BYTES)
}

/** a⁻¹ mod q, and 0 for 0. For public values: that is all the protocol ever inverts (§10.6). */
export function scalarInvertPublic(a: Uint8Array): Uint8Array {
  return unary(kernel.scalar_invert, a, SCALAR_BYTES)
}

/** A 64-byte little-endian integer mod q. */
export function scalarReduceWide(wide: Uint8Array): Uint8Array {
  return unary(kernel.scalar_reduce_wide, wide, 2 * SCALAR_BYTES)
}

/** A 32-byte big-endian integer (a digest) mod q. */
export function scalarReduceBe32(digest: Uint8Array): Uint8Array {
  const little = digest.toReversed()
  try {
    return unary(kernel.scalar_reduce, little, SCALAR_BYTES)
  } finally {
    little.fill(0)
  }
}

/** True for exactly 32 bytes below q. */
export function isCanonicalScalar(bytes: Uint8Array): boolean {
  return bytes.length === SCALAR_BYTES && withArena(() => kernel.scalars_canonical(place(bytes), 1)) === 1
}

/** True for a whole vector of scalars, each 32 bytes and below q; looks at every one. */
export function areCanonicalScalars(bytes: Uint8Array): boolean {
  if (bytes.length % SCALAR_BYTES !== 0) return false
  return withArena(() => kernel.scalars_canonical(place(bytes), bytes.length / SCALAR_BYTES)) === 1
}

export function isZeroScalar(bytes: Uint8Array): boolean {
  assertLength(bytes, SCALAR_BYTES)
  return withArena(() => kernel.is_zero(place(bytes), SCALAR_BYTES)) === 1
}

/** True when s > (q − 1)/2: the high half that low-s signatures avoid. */
export function isHighScalar(s: Uint8Array): boolean {
  assertLength(s, SCALAR_BYTES)
  return withArena(() => kernel.scalar_high(place(s))) === 1
}

/** Overwrites secrets in place. */
export function wipe(...secrets: readonly Uint8Array[]): void {
  for (const secret of secrets) secret.fill(0)
}

function unary(operation: (a: number, out: number) => void, a: Uint8Array, length: number): Uint8Array {
  assertLength(a, length)
  return withArena(() => {
    const out = reserve(SCALAR_BYTES)
    operation(place(a), out)
    return take(out, SCALAR_BYTES)
  })
}

function binary(operation: (a: number, b: number, out: number) => void, a: Uint8Array, b: Uint8Array): Uint8Array {
  assertLength(a, SCALAR_BYTES)
  assertLength(b, SCALAR_BYTES)
  return withArena(() => {
    const out = reserve(3 * SCALAR_BYTES)
    memory.set(a, out + SCALAR_BYTES)
    memory.set(b, out + 2 * SCALAR_BYTES)
    operation(out + SCALAR_BYTES, out + 2 * SCALAR_BYTES, out)
    return take(out, SCALAR_BYTES)
  })
}

function assertLength(bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) throw new RangeError(`expected ${length} bytes`)
}
