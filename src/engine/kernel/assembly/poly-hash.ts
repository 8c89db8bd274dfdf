// The check of the OT extension (protocol §7.2): GF(2^128) modulo X^128 + X^7 + X^2 + X + 1, bit i of a block
// being X^i. Carry-less products come from integer products of operands with holes: four masks keep every fourth
// bit, so that sums of up to fifteen bits cannot run into the next one. No table is read, so no address follows
// from a row.

const M0: u64 = 0x1111111111111111
const M1: u64 = 0x2222222222222222
const M2: u64 = 0x4444444444444444
const M3: u64 = 0x8888888888888888

/** out_i = Σ_{j<n} b_j · chi^(n-j) + b_n for each of `count` rows of n blocks. */
export function poly_hash_rows(rows: usize, blocks: i32, count: i32, chi: usize, out: usize): void {
  const y0 = load<u64>(chi)
  const y1 = load<u64>(chi, 8)
  const r0 = reverse(y0)
  const r1 = reverse(y1)
  for (let i = 0; i < count; i++) {
    let low: u64 = 0
    let high: u64 = 0
    for (let j = 1; j < blocks; j++) {
      low ^= load<u64>(rows)
      high ^= load<u64>(rows, 8)
      rows += 16
      const ra = reverse(low)
      const rb = reverse(high)
      const z0 = multiplyLow(low, y0)
      const z1 = multiplyLow(high, y1)
      const z2 = multiplyLow(low ^ high, y0 ^ y1) ^ z0 ^ z1
      const h0 = multiplyLow(ra, r0)
      const h1 = multiplyLow(rb, r1)
      const h2 = multiplyLow(ra ^ rb, r0 ^ r1) ^ h0 ^ h1
      let v1 = (reverse(h0) >> 1) ^ z2
      let v2 = z1 ^ (reverse(h2) >> 1)
      const v3 = reverse(h1) >> 1
      v1 ^= v3 ^ (v3 << 1) ^ (v3 << 2) ^ (v3 << 7)
      v2 ^= (v3 >> 63) ^ (v3 >> 62) ^ (v3 >> 57)
      low = z0 ^ v2 ^ (v2 << 1) ^ (v2 << 2) ^ (v2 << 7)
      high = v1 ^ (v2 >> 63) ^ (v2 >> 62) ^ (v2 >> 57)
    }
    store<u64>(out, low ^ load<u64>(rows))
    store<u64>(out, high ^ load<u64>(rows, 8), 8)
    rows += 16
    out += 16
  }
}

/** 1 when h(q_i) = t_i ^ delta_i * x for all 128 rows, else 0: every row is looked at. */
export function ote_check(hashes: usize, t: usize, x: usize, delta: usize): i32 {
  const x0 = load<u64>(x)
  const x1 = load<u64>(x, 8)
  let difference: u64 = 0
  for (let i = 0; i < 128; i++) {
    const mask = 0 - <u64>((load<u8>(delta + (i >> 3)) >> <u8>(i & 7)) & 1)
    difference |= load<u64>(hashes) ^ load<u64>(t) ^ (x0 & mask)
    difference |= load<u64>(hashes, 8) ^ load<u64>(t, 8) ^ (x1 & mask)
    hashes += 16
    t += 16
  }
  return <i32>(1 - ((difference | (0 - difference)) >> 63))
}

/** The low 64 bits of the carry-less product. */
// @ts-ignore: decorator
@inline
function multiplyLow(x: u64, y: u64): u64 {
  const x0 = x & M0, x1 = x & M1, x2 = x & M2, x3 = x & M3
  const y0 = y & M0, y1 = y & M1, y2 = y & M2, y3 = y & M3
  const z0 = (x0 * y0) ^ (x1 * y3) ^ (x2 * y2) ^ (x3 * y1)
  const z1 = (x0 * y1) ^ (x1 * y0) ^ (x2 * y3) ^ (x3 * y2)
  const z2 = (x0 * y2) ^ (x1 * y1) ^ (x2 * y0) ^ (x3 * y3)
  const z3 = (x0 * y3) ^ (x1 * y2) ^ (x2 * y1) ^ (x3 * y0)
  return (z0 & M0) | (z1 & M1) | (z2 & M2) | (z3 & M3)
}

/** Bit-reversal. The high half of a product is the reversed low half of the reversed operands, less one place. */
// @ts-ignore: decorator
@inline
function reverse(x: u64): u64 {
  x = ((x & 0x5555555555555555) << 1) | ((x >> 1) & 0x5555555555555555)
  x = ((x & 0x3333333333333333) << 2) | ((x >> 2) & 0x3333333333333333)
  x = ((x & 0x0f0f0f0f0f0f0f0f) << 4) | ((x >> 4) & 0x0f0f0f0f0f0f0f0f)
  return bswap<u64>(x)
}
