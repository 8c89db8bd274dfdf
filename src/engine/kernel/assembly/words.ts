// Additions modulo q on four 64-bit words: operands and results are packed and canonical. Comparisons give carries
// as 0 or 1 and are compiled to flag-setting instructions, not to branches.

/** C = 2^256 - q in words; the third is 1, the fourth 0. */
const C0: u64 = 0x402da1732fc9bebf
const C1: u64 = 0x4551231950b75fc4

/** out = a + (b & mask) mod q */
// @ts-ignore: decorator
@inline
export function addMasked(a: usize, b: usize, mask: u64, out: usize): void {
  const a0 = load<u64>(a), a1 = load<u64>(a, 8), a2 = load<u64>(a, 16), a3 = load<u64>(a, 24)
  const s0 = a0 + (load<u64>(b) & mask)
  let carry = <u64>(s0 < a0)
  const b1 = (load<u64>(b, 8) & mask) + carry
  const s1 = a1 + b1
  carry = <u64>(b1 < carry) | <u64>(s1 < a1)
  const b2 = (load<u64>(b, 16) & mask) + carry
  const s2 = a2 + b2
  carry = <u64>(b2 < carry) | <u64>(s2 < a2)
  const b3 = (load<u64>(b, 24) & mask) + carry
  const s3 = a3 + b3
  carry = <u64>(b3 < carry) | <u64>(s3 < a3)
  subtractOnce(s0, s1, s2, s3, carry, out)
}

/** out = a - b mod q */
// @ts-ignore: decorator
@inline
export function subtract(a: usize, b: usize, out: usize): void {
  const a0 = load<u64>(a), a1 = load<u64>(a, 8), a2 = load<u64>(a, 16), a3 = load<u64>(a, 24)
  const b0 = load<u64>(b), b1 = load<u64>(b, 8), b2 = load<u64>(b, 16), b3 = load<u64>(b, 24)
  const d0 = a0 - b0
  let borrow = <u64>(a0 < b0)
  const e1 = a1 - b1
  const d1 = e1 - borrow
  borrow = <u64>(a1 < b1) | <u64>(e1 < borrow)
  const e2 = a2 - b2
  const d2 = e2 - borrow
  borrow = <u64>(a2 < b2) | <u64>(e2 < borrow)
  const e3 = a3 - b3
  const d3 = e3 - borrow
  borrow = <u64>(a3 < b3) | <u64>(e3 < borrow)
  // + q is - C modulo 2^256.
  const mask = 0 - borrow
  const r0 = d0 - (C0 & mask)
  borrow = <u64>(d0 < (C0 & mask))
  const t1 = d1 - (C1 & mask)
  const r1 = t1 - borrow
  borrow = <u64>(d1 < (C1 & mask)) | <u64>(t1 < borrow)
  const t2 = d2 - (1 & mask)
  const r2 = t2 - borrow
  borrow = <u64>(d2 < (1 & mask)) | <u64>(t2 < borrow)
  store<u64>(out, r0)
  store<u64>(out, r1, 8)
  store<u64>(out, r2, 16)
  store<u64>(out, d3 - borrow, 24)
}

/** out = s + carry * 2^256, less q when that is not below q. */
// @ts-ignore: decorator
@inline
export function subtractOnce(s0: u64, s1: u64, s2: u64, s3: u64, carry: u64, out: usize): void {
  const t0 = s0 + C0
  let k = <u64>(t0 < s0)
  const e1 = s1 + k
  const t1 = e1 + C1
  k = <u64>(e1 < k) | <u64>(t1 < e1)
  const t2 = s2 + 1 + k
  // s2 + 1 + k wraps exactly when the result is not above s2.
  k = <u64>(t2 <= s2)
  const t3 = s3 + k
  const take = 0 - (carry | <u64>(t3 < k))
  const keep = ~take
  store<u64>(out, (t0 & take) | (s0 & keep))
  store<u64>(out, (t1 & take) | (s1 & keep), 8)
  store<u64>(out, (t2 & take) | (s2 & keep), 16)
  store<u64>(out, (t3 & take) | (s3 & keep), 24)
}

/** 1 when the packed value is below q, else 0: adding C does not carry out of 2^256. */
export function isBelowOrder(a: usize): u64 {
  const a1 = load<u64>(a, 8), a2 = load<u64>(a, 16)
  let k = <u64>(load<u64>(a) + C0 < C0)
  const e1 = a1 + k
  k = <u64>(e1 < k) | <u64>(e1 + C1 < C1)
  k = <u64>(a2 + 1 + k <= a2)
  return 1 - <u64>(load<u64>(a, 24) + k < k)
}
