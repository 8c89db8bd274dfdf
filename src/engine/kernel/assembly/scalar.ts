// Single-scalar operations. Operands are 32 packed bytes at the given addresses, any 256-bit value unless said
// otherwise; results are canonical. `out` may be one of the operands.
import {
  LIMBS_A, LIMBS_B, SCALAR_A, addProduct, clearColumns, finish, reduceColumns, unpack,
} from './limbs'
import { isBelowOrder } from './words'

/** out = a * b mod q */
export function scalar_mul(a: usize, b: usize, out: usize): void {
  toMontgomery(a, LIMBS_A)
  clearColumns()
  addProduct(LIMBS_A, b)
  reduceColumns(out)
}

/** Limbs of a * 2^261 mod q. */
export function toMontgomery(a: usize, limbs: usize): void {
  storeSquareOfR(LIMBS_B)
  clearColumns()
  addProduct(LIMBS_B, a)
  reduceColumns(SCALAR_A)
  unpack(SCALAR_A, limbs)
}

/** out = a + b mod q */
export function scalar_add(a: usize, b: usize, out: usize): void {
  unpack(a, LIMBS_A)
  unpack(b, LIMBS_B)
  finishLimbs(LIMBS_A, LIMBS_B, 0, out)
}

/** out = a - b mod q, as a + 2q - b */
export function scalar_sub(a: usize, b: usize, out: usize): void {
  unpack(a, LIMBS_A)
  unpack(b, LIMBS_B)
  finishLimbs(LIMBS_A, LIMBS_B, -1, out)
}

/** out = -a mod q */
export function scalar_negate(a: usize, out: usize): void {
  memory.fill(LIMBS_A, 0, 36)
  unpack(a, LIMBS_B)
  finishLimbs(LIMBS_A, LIMBS_B, -1, out)
}

/** out = a mod q for a of 256 bits */
export function scalar_reduce(a: usize, out: usize): void {
  unpack(a, LIMBS_A)
  memory.fill(LIMBS_B, 0, 36)
  finishLimbs(LIMBS_A, LIMBS_B, 0, out)
}

/** out = a + b, or with sign = -1 a + 2q - b. */
export function finishLimbs(a: usize, b: usize, sign: i64, out: usize): void {
  // x ^ sign - sign negates when sign is -1.
  finish(
    <i64>load<u32>(a) + ((<i64>load<u32>(b) ^ sign) - sign) + (sign & 0x206c8282),
    <i64>load<u32>(a, 4) + ((<i64>load<u32>(b, 4) ^ sign) - sign) + (sign & 0x3d25e8cc),
    <i64>load<u32>(a, 8) + ((<i64>load<u32>(b, 8) ^ sign) - sign) + (sign & 0x24501dde),
    <i64>load<u32>(a, 12) + ((<i64>load<u32>(b, 12) ^ sign) - sign) + (sign & 0x3b739abc),
    <i64>load<u32>(a, 16) + ((<i64>load<u32>(b, 16) ^ sign) - sign) + (sign & 0x3fffd754),
    <i64>load<u32>(a, 20) + ((<i64>load<u32>(b, 20) ^ sign) - sign) + (sign & 0x3ffffffe),
    <i64>load<u32>(a, 24) + ((<i64>load<u32>(b, 24) ^ sign) - sign) + (sign & 0x3ffffffe),
    <i64>load<u32>(a, 28) + ((<i64>load<u32>(b, 28) ^ sign) - sign) + (sign & 0x3ffffffe),
    <i64>load<u32>(a, 32) + ((<i64>load<u32>(b, 32) ^ sign) - sign) + (sign & 0x1fffffe),
    out,
  )
}

/** out = the 512-bit value at a, mod q: low * 1 + high * 2^256 */
export function scalar_reduce_wide(a: usize, out: usize): void {
  storeR(LIMBS_A)
  storeHighFactor(LIMBS_B)
  clearColumns()
  addProduct(LIMBS_A, a)
  addProduct(LIMBS_B, a + 32)
  reduceColumns(out)
}

/** 1 when all `count` consecutive scalars are below q, else 0; looks at every one. */
export function scalars_canonical(a: usize, count: i32): i32 {
  let all: u64 = 1
  for (let i = 0; i < count; i++, a += 32) all &= isBelowOrder(a)
  return <i32>all
}

/** 1 when a > (q-1)/2, else 0. */
export function scalar_high(a: usize): i32 {
  unpack(a, LIMBS_A)
  // The borrow of a - ((q-1)/2 + 1) tells.
  let borrow = (<i64>load<u32>(LIMBS_A) - 0x81b20a1) >> 29
  borrow = (<i64>load<u32>(LIMBS_A, 4) - 0x1f497a33 + borrow) >> 29
  borrow = (<i64>load<u32>(LIMBS_A, 8) - 0x9140777 + borrow) >> 29
  borrow = (<i64>load<u32>(LIMBS_A, 12) - 0xedce6af + borrow) >> 29
  borrow = (<i64>load<u32>(LIMBS_A, 16) - 0x1ffff5d5 + borrow) >> 29
  for (let i: usize = 20; i < 32; i += 4) borrow = (<i64>load<u32>(LIMBS_A + i) - 0x1fffffff + borrow) >> 29
  borrow = (<i64>load<u32>(LIMBS_A, 32) - 0x7fffff + borrow) >> 29
  return 1 + <i32>borrow
}

/** 1 when all `bytes` (a multiple of 8) are zero, else 0. */
export function is_zero(a: usize, bytes: i32): i32 {
  let any: u64 = 0
  for (let i: usize = 0; i < <usize>bytes; i += 8) any |= load<u64>(a + i)
  return <i32>(1 - ((any | (0 - any)) >> 63))
}

/** R^2 mod q, R = 2^261, in limbs. */
function storeSquareOfR(to: usize): void {
  store<u32>(to, 0x9f6ab4b)
  store<u32>(to, 0x1f300d1e, 4)
  store<u32>(to, 0x1c0bd5d8, 8)
  store<u32>(to, 0xc8ada8c, 12)
  store<u32>(to, 0x11cefa2b, 16)
  store<u32>(to, 0x8b79a0f, 20)
  store<u32>(to, 0x1e697f5e, 24)
  store<u32>(to, 0xe34de2, 28)
  store<u32>(to, 0x9c7356, 32)
}

/** R mod q in limbs. */
function storeR(to: usize): void {
  store<u32>(to, 0x1937d7e0)
  store<u32>(to, 0xda1732f, 4)
  store<u32>(to, 0x1afe2201, 8)
  store<u32>(to, 0x8c6542d, 12)
  store<u32>(to, 0x28aa2, 16)
  memory.fill(to + 20, 0, 16)
}

/** 2^256 * R mod q in limbs. */
function storeHighFactor(to: usize): void {
  store<u32>(to, 0x6f3502d)
  store<u32>(to, 0x809f0cc, 4)
  store<u32>(to, 0xecaa87c, 8)
  store<u32>(to, 0x10e6459a, 12)
  store<u32>(to, 0xf8e6a79, 16)
  store<u32>(to, 0x1e45bcd0, 20)
  store<u32>(to, 0x2f34bfa, 24)
  store<u32>(to, 0x16071a6f, 28)
  store<u32>(to, 0xace39a, 32)
}
