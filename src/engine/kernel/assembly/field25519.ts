// Arithmetic modulo p = 2^255 - 19 on nine signed 29-bit limbs: limb i weighs 2^29i. It lies within ±(2^28 + 2^16) in a
// result, within ±2^30 in an operand (±2^29 in one of the two of a product), so that columns stay below 2^63. Limbs are
// kept as i32, 36 bytes a number. For public values: nothing that is computed here depends on a secret.

const MASK: i64 = 0x1fffffff
/** 2^261 = 64 · 19 modulo p. */
const FOLD: i64 = 1216
/** Half a limb: carries are rounded, so that limbs stay around zero. */
const HALF: i64 = 1 << 28

/** Bytes of a number in limb form. */
export const FIELD_BYTES: usize = 36

/** out = a * b */
export function fieldMul(a: usize, b: usize, out: usize): void {
  const a0 = <i64>load<i32>(a), a1 = <i64>load<i32>(a, 4), a2 = <i64>load<i32>(a, 8), a3 = <i64>load<i32>(a, 12)
  const a4 = <i64>load<i32>(a, 16), a5 = <i64>load<i32>(a, 20)
  const a6 = <i64>load<i32>(a, 24), a7 = <i64>load<i32>(a, 28)
  const a8 = <i64>load<i32>(a, 32)
  const b0 = <i64>load<i32>(b), b1 = <i64>load<i32>(b, 4), b2 = <i64>load<i32>(b, 8), b3 = <i64>load<i32>(b, 12)
  const b4 = <i64>load<i32>(b, 16), b5 = <i64>load<i32>(b, 20)
  const b6 = <i64>load<i32>(b, 24), b7 = <i64>load<i32>(b, 28)
  const b8 = <i64>load<i32>(b, 32)
  let c9 = a1 * b8 + a2 * b7 + a3 * b6 + a4 * b5 + a5 * b4 + a6 * b3 + a7 * b2 + a8 * b1
  let c10 = a2 * b8 + a3 * b7 + a4 * b6 + a5 * b5 + a6 * b4 + a7 * b3 + a8 * b2
  let c11 = a3 * b8 + a4 * b7 + a5 * b6 + a6 * b5 + a7 * b4 + a8 * b3
  let c12 = a4 * b8 + a5 * b7 + a6 * b6 + a7 * b5 + a8 * b4
  let c13 = a5 * b8 + a6 * b7 + a7 * b6 + a8 * b5
  let c14 = a6 * b8 + a7 * b7 + a8 * b6
  let c15 = a7 * b8 + a8 * b7
  let c16 = a8 * b8
  c10 += c9 >> 29; c9 &= MASK
  c11 += c10 >> 29; c10 &= MASK
  c12 += c11 >> 29; c11 &= MASK
  c13 += c12 >> 29; c12 &= MASK
  c14 += c13 >> 29; c13 &= MASK
  c15 += c14 >> 29; c14 &= MASK
  c16 += c15 >> 29; c15 &= MASK
  const c17 = c16 >> 29
  c16 &= MASK
  const s0 = a0 * b0 + c9 * FOLD
  const s1 = a0 * b1 + a1 * b0 + c10 * FOLD
  const s2 = a0 * b2 + a1 * b1 + a2 * b0 + c11 * FOLD
  const s3 = a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0 + c12 * FOLD
  const s4 = a0 * b4 + a1 * b3 + a2 * b2 + a3 * b1 + a4 * b0 + c13 * FOLD
  const s5 = a0 * b5 + a1 * b4 + a2 * b3 + a3 * b2 + a4 * b1 + a5 * b0 + c14 * FOLD
  const s6 = a0 * b6 + a1 * b5 + a2 * b4 + a3 * b3 + a4 * b2 + a5 * b1 + a6 * b0 + c15 * FOLD
  const s7 = a0 * b7 + a1 * b6 + a2 * b5 + a3 * b4 + a4 * b3 + a5 * b2 + a6 * b1 + a7 * b0 + c16 * FOLD
  const s8 = a0 * b8 + a1 * b7 + a2 * b6 + a3 * b5 + a4 * b4 + a5 * b3 + a6 * b2 + a7 * b1 + a8 * b0 + c17 * FOLD
  finishField(s0, s1, s2, s3, s4, s5, s6, s7, s8, out)
}

/** out = a^2 */
export function fieldSquare(a: usize, out: usize): void {
  const a0 = <i64>load<i32>(a), a1 = <i64>load<i32>(a, 4), a2 = <i64>load<i32>(a, 8), a3 = <i64>load<i32>(a, 12)
  const a4 = <i64>load<i32>(a, 16), a5 = <i64>load<i32>(a, 20)
  const a6 = <i64>load<i32>(a, 24), a7 = <i64>load<i32>(a, 28)
  const a8 = <i64>load<i32>(a, 32)
  const d0 = a0 << 1, d1 = a1 << 1, d2 = a2 << 1, d3 = a3 << 1
  const d4 = a4 << 1, d5 = a5 << 1, d6 = a6 << 1, d7 = a7 << 1
  let c9 = d1 * a8 + d2 * a7 + d3 * a6 + d4 * a5
  let c10 = d2 * a8 + d3 * a7 + d4 * a6 + a5 * a5
  let c11 = d3 * a8 + d4 * a7 + d5 * a6
  let c12 = d4 * a8 + d5 * a7 + a6 * a6
  let c13 = d5 * a8 + d6 * a7
  let c14 = d6 * a8 + a7 * a7
  let c15 = d7 * a8
  let c16 = a8 * a8
  c10 += c9 >> 29; c9 &= MASK
  c11 += c10 >> 29; c10 &= MASK
  c12 += c11 >> 29; c11 &= MASK
  c13 += c12 >> 29; c12 &= MASK
  c14 += c13 >> 29; c13 &= MASK
  c15 += c14 >> 29; c14 &= MASK
  c16 += c15 >> 29; c15 &= MASK
  const c17 = c16 >> 29
  c16 &= MASK
  const s0 = a0 * a0 + c9 * FOLD
  const s1 = d0 * a1 + c10 * FOLD
  const s2 = d0 * a2 + a1 * a1 + c11 * FOLD
  const s3 = d0 * a3 + d1 * a2 + c12 * FOLD
  const s4 = d0 * a4 + d1 * a3 + a2 * a2 + c13 * FOLD
  const s5 = d0 * a5 + d1 * a4 + d2 * a3 + c14 * FOLD
  const s6 = d0 * a6 + d1 * a5 + d2 * a4 + a3 * a3 + c15 * FOLD
  const s7 = d0 * a7 + d1 * a6 + d2 * a5 + d3 * a4 + c16 * FOLD
  const s8 = d0 * a8 + d1 * a7 + d2 * a6 + d3 * a5 + a4 * a4 + c17 * FOLD
  finishField(s0, s1, s2, s3, s4, s5, s6, s7, s8, out)
}

/** Columns below 2^63 -> limbs: two chains of carries side by side; what runs out at the top comes in below. */
// @ts-ignore: decorator
@inline
function finishField(
  s0: i64, s1: i64, s2: i64, s3: i64, s4: i64, s5: i64, s6: i64, s7: i64, s8: i64, out: usize,
): void {
  let carry: i64
  carry = (s0 + HALF) >> 29; s1 += carry; s0 -= carry << 29
  carry = (s4 + HALF) >> 29; s5 += carry; s4 -= carry << 29
  carry = (s1 + HALF) >> 29; s2 += carry; s1 -= carry << 29
  carry = (s5 + HALF) >> 29; s6 += carry; s5 -= carry << 29
  carry = (s2 + HALF) >> 29; s3 += carry; s2 -= carry << 29
  carry = (s6 + HALF) >> 29; s7 += carry; s6 -= carry << 29
  carry = (s3 + HALF) >> 29; s4 += carry; s3 -= carry << 29
  carry = (s7 + HALF) >> 29; s8 += carry; s7 -= carry << 29
  carry = (s8 + HALF) >> 29; s0 += carry * FOLD; s8 -= carry << 29
  carry = (s4 + HALF) >> 29; s5 += carry; s4 -= carry << 29
  carry = (s0 + HALF) >> 29; s1 += carry; s0 -= carry << 29
  store<i32>(out, <i32>s0)
  store<i32>(out, <i32>s1, 4)
  store<i32>(out, <i32>s2, 8)
  store<i32>(out, <i32>s3, 12)
  store<i32>(out, <i32>s4, 16)
  store<i32>(out, <i32>s5, 20)
  store<i32>(out, <i32>s6, 24)
  store<i32>(out, <i32>s7, 28)
  store<i32>(out, <i32>s8, 32)
}

/** out = a + b, limb by limb */
export function fieldAdd(a: usize, b: usize, out: usize): void {
  store<i32>(out, load<i32>(a) + load<i32>(b))
  store<i32>(out, load<i32>(a, 4) + load<i32>(b, 4), 4)
  store<i32>(out, load<i32>(a, 8) + load<i32>(b, 8), 8)
  store<i32>(out, load<i32>(a, 12) + load<i32>(b, 12), 12)
  store<i32>(out, load<i32>(a, 16) + load<i32>(b, 16), 16)
  store<i32>(out, load<i32>(a, 20) + load<i32>(b, 20), 20)
  store<i32>(out, load<i32>(a, 24) + load<i32>(b, 24), 24)
  store<i32>(out, load<i32>(a, 28) + load<i32>(b, 28), 28)
  store<i32>(out, load<i32>(a, 32) + load<i32>(b, 32), 32)
}

/** out = a - b, limb by limb */
export function fieldSub(a: usize, b: usize, out: usize): void {
  store<i32>(out, load<i32>(a) - load<i32>(b))
  store<i32>(out, load<i32>(a, 4) - load<i32>(b, 4), 4)
  store<i32>(out, load<i32>(a, 8) - load<i32>(b, 8), 8)
  store<i32>(out, load<i32>(a, 12) - load<i32>(b, 12), 12)
  store<i32>(out, load<i32>(a, 16) - load<i32>(b, 16), 16)
  store<i32>(out, load<i32>(a, 20) - load<i32>(b, 20), 20)
  store<i32>(out, load<i32>(a, 24) - load<i32>(b, 24), 24)
  store<i32>(out, load<i32>(a, 28) - load<i32>(b, 28), 28)
  store<i32>(out, load<i32>(a, 32) - load<i32>(b, 32), 32)
}

/** out = a^(2^n), n > 0 */
export function fieldSquares(a: usize, n: i32, out: usize): void {
  fieldSquare(a, out)
  for (let i = 1; i < n; i++) fieldSquare(out, out)
}

/** 32 bytes little-endian, the top bit left out -> limbs. */
export function fieldUnpack(from: usize, out: usize): void {
  const mask = <u64>MASK
  const w0 = load<u64>(from), w1 = load<u64>(from, 8), w2 = load<u64>(from, 16), w3 = load<u64>(from, 24)
  store<i32>(out, <i32>(w0 & mask))
  store<i32>(out, <i32>((w0 >> 29) & mask), 4)
  store<i32>(out, <i32>(((w0 >> 58) | (w1 << 6)) & mask), 8)
  store<i32>(out, <i32>((w1 >> 23) & mask), 12)
  store<i32>(out, <i32>(((w1 >> 52) | (w2 << 12)) & mask), 16)
  store<i32>(out, <i32>((w2 >> 17) & mask), 20)
  store<i32>(out, <i32>(((w2 >> 46) | (w3 << 18)) & mask), 24)
  store<i32>(out, <i32>((w3 >> 11) & mask), 28)
  store<i32>(out, <i32>((w3 >> 40) & 0x7fffff), 32)
}

/** Limbs -> 32 bytes little-endian below p. */
export function fieldPack(a: usize, out: usize): void {
  let l0 = <i64>load<i32>(a), l1 = <i64>load<i32>(a, 4), l2 = <i64>load<i32>(a, 8), l3 = <i64>load<i32>(a, 12)
  let l4 = <i64>load<i32>(a, 16), l5 = <i64>load<i32>(a, 20), l6 = <i64>load<i32>(a, 24)
  let l7 = <i64>load<i32>(a, 28), l8 = <i64>load<i32>(a, 32)
  // 2^262 is 128 · 19 modulo p and more than the value is below zero. Three rounds leave less than 2^255.
  l0 -= 128 * 19
  l8 += 1 << 30
  for (let round = 0; round < 3; round++) {
    l1 += l0 >> 29; l0 &= MASK
    l2 += l1 >> 29; l1 &= MASK
    l3 += l2 >> 29; l2 &= MASK
    l4 += l3 >> 29; l3 &= MASK
    l5 += l4 >> 29; l4 &= MASK
    l6 += l5 >> 29; l5 &= MASK
    l7 += l6 >> 29; l6 &= MASK
    l8 += l7 >> 29; l7 &= MASK
    l0 += (l8 >> 23) * 19; l8 &= 0x7fffff
  }
  // v >= p exactly when v + 19 reaches 2^255.
  let over = (l0 + 19) >> 29
  over = (l1 + over) >> 29
  over = (l2 + over) >> 29
  over = (l3 + over) >> 29
  over = (l4 + over) >> 29
  over = (l5 + over) >> 29
  over = (l6 + over) >> 29
  over = (l7 + over) >> 29
  over = (l8 + over) >> 23
  l0 += 19 * over
  l1 += l0 >> 29; l0 &= MASK
  l2 += l1 >> 29; l1 &= MASK
  l3 += l2 >> 29; l2 &= MASK
  l4 += l3 >> 29; l3 &= MASK
  l5 += l4 >> 29; l4 &= MASK
  l6 += l5 >> 29; l5 &= MASK
  l7 += l6 >> 29; l6 &= MASK
  l8 = (l8 + (l7 >> 29)) & 0x7fffff; l7 &= MASK
  store<i64>(out, l0 | (l1 << 29) | (l2 << 58))
  store<i64>(out, (l2 >> 6) | (l3 << 23) | (l4 << 52), 8)
  store<i64>(out, (l4 >> 12) | (l5 << 17) | (l6 << 46), 16)
  store<i64>(out, (l6 >> 18) | (l7 << 11) | (l8 << 40), 24)
}

/**
 * out = a^((p-5)/8), with a^11 and a^(2^250 - 1) left behind at `work` and `work` + 36. `work` has four numbers.
 */
export function fieldRoot(a: usize, work: usize, out: usize): void {
  const eleven = work, long = work + FIELD_BYTES, t = work + 2 * FIELD_BYTES, s = work + 3 * FIELD_BYTES
  fieldSquare(a, t)
  fieldSquares(t, 2, s)
  fieldMul(a, s, s)
  fieldMul(t, s, eleven)
  fieldSquare(eleven, t)
  fieldMul(s, t, s)
  // s = a^(2^5 - 1)
  fieldSquares(s, 5, t)
  fieldMul(t, s, s)
  fieldSquares(s, 10, t)
  fieldMul(t, s, t)
  fieldSquares(t, 20, long)
  fieldMul(long, t, t)
  fieldSquares(t, 10, t)
  fieldMul(t, s, s)
  // s = a^(2^50 - 1)
  fieldSquares(s, 50, t)
  fieldMul(t, s, t)
  fieldSquares(t, 100, long)
  fieldMul(long, t, t)
  fieldSquares(t, 50, t)
  fieldMul(t, s, long)
  fieldSquares(long, 2, t)
  fieldMul(t, a, out)
}

/** out = a^-1, and 0 for 0; `work` has four numbers. */
export function fieldInvert(a: usize, work: usize, out: usize): void {
  fieldRoot(a, work, out)
  fieldSquares(work + FIELD_BYTES, 5, out)
  fieldMul(out, work, out)
}
