// The check of the OT extension (protocol §7.2): GF(2^128) modulo X^128 + X^7 + X^2 + X + 1, bit i of a block
// being X^i. Carry-less products come from integer products of operands with holes: four masks keep every fourth
// bit, so that sums of up to fifteen bits cannot run into the next one. No address follows from a row.
import { transpose } from './rows'

const M0: u64 = 0x1111111111111111
const M1: u64 = 0x2222222222222222
const M2: u64 = 0x4444444444444444
const M3: u64 = 0x8888888888888888

/** out_i = Σ_{j<n} b_j · chi^(n-j) + b_n for each of `count` rows of n blocks. */
export function poly_hash_rows(rows: usize, blocks: i32, count: i32, chi: usize, out: usize): void {
  const y0 = load<u64>(chi)
  const y1 = load<u64>(chi, 8)
  for (let i = 0; i < count; i++) {
    memory.fill(out, 0, 16)
    for (let j = 1; j < blocks; j++) {
      store<u64>(out, load<u64>(out) ^ load<u64>(rows))
      store<u64>(out, load<u64>(out, 8) ^ load<u64>(rows, 8), 8)
      multiply(out, y0, y1)
      rows += 16
    }
    store<u64>(out, load<u64>(out) ^ load<u64>(rows))
    store<u64>(out, load<u64>(out, 8) ^ load<u64>(rows, 8), 8)
    rows += 16
    out += 16
  }
}

/** Places in the working memory of `poly_hash_columns`: 256 sums, four tables, windows with zeros before and behind. */
const TABLES: usize = 256 * 16
const WINDOWS: usize = TABLES + 4 * 256
const POWER: usize = WINDOWS + 176

/**
 * The hashes of 128 rows of n blocks from their transposition, 128 · n strings of 16 bytes. The powers of chi are public,
 * so a string is added where their bits say, four strings at a time through a table of their sixteen sums; rows are
 * never looked at by value. `work` has 5 312 bytes of zeros.
 */
export function poly_hash_columns(columns: usize, blocks: i32, chi: usize, work: usize, out: usize): void {
  const y0 = load<u64>(chi)
  const y1 = load<u64>(chi, 8)
  const power = work + POWER
  let block = columns + 2048 * <usize>(blocks - 1)
  memory.copy(work, block, 2048)
  memory.fill(power, 0, 16)
  store<u8>(power, 1)
  for (let j = 1; j < blocks; j++) {
    block -= 2048
    multiply(power, y0, y1)
    writeWindows(load<u64>(power), load<u64>(power, 8), work + WINDOWS + 12)
    for (let group: usize = 0; group < 2048; group += 256) {
      for (let k: usize = 0; k < 4; k++) fillTable(block + group + 64 * k, work + TABLES + 256 * k)
      addStrings(work + TABLES, work + WINDOWS + 12, work + group)
    }
  }
  // X^128 = X^7 + X^2 + X + 1, from the top down.
  for (let p = work + 254 * 16; p >= work + 128 * 16; p -= 16) {
    const v = v128.load(p)
    v128.store(p - 128 * 16, v128.xor(v128.load(p - 128 * 16), v))
    v128.store(p - 127 * 16, v128.xor(v128.load(p - 127 * 16), v))
    v128.store(p - 126 * 16, v128.xor(v128.load(p - 126 * 16), v))
    v128.store(p - 121 * 16, v128.xor(v128.load(p - 121 * 16), v))
  }
  transpose(work, 16, out)
}

/** windows_s = 16 · (bits s, s-1, s-2, s-3 of the power, the first one lowest) for s < 131, zero beyond. */
function writeWindows(low: u64, high: u64, windows: usize): void {
  let window: u64 = 0
  for (let s = 0; s < 131; s++) {
    window = ((window << 1) | (low & 1)) & 15
    store<u8>(windows + s, <u8>(window << 4))
    low = (low >> 1) | (high << 63)
    high >>= 1
  }
}

/** The sixteen sums of four strings. */
function fillTable(strings: usize, table: usize): void {
  const a = v128.load(strings), b = v128.load(strings, 16), c = v128.load(strings, 32), d = v128.load(strings, 48)
  const ab = v128.xor(a, b), cd = v128.xor(c, d)
  v128.store(table, a, 16)
  v128.store(table, b, 32)
  v128.store(table, ab, 48)
  v128.store(table, c, 64)
  v128.store(table, v128.xor(c, a), 80)
  v128.store(table, v128.xor(c, b), 96)
  v128.store(table, v128.xor(c, ab), 112)
  v128.store(table, d, 128)
  v128.store(table, v128.xor(d, a), 144)
  v128.store(table, v128.xor(d, b), 160)
  v128.store(table, v128.xor(d, ab), 176)
  v128.store(table, cd, 192)
  v128.store(table, v128.xor(cd, a), 208)
  v128.store(table, v128.xor(cd, b), 224)
  v128.store(table, v128.xor(cd, ab), 240)
}

/** sums_s += what four tables of four strings each have at the windows s, s-4, s-8, s-12. */
function addStrings(tables: usize, windows: usize, sums: usize): void {
  for (let s = 0; s < 143; s++) {
    const first = v128.xor(
      v128.load(tables + load<u8>(windows)),
      v128.load(tables + load<u8>(windows - 4), 256),
    )
    const second = v128.xor(
      v128.load(tables + load<u8>(windows - 8), 512),
      v128.load(tables + load<u8>(windows - 12), 768),
    )
    v128.store(sums, v128.xor(v128.load(sums), v128.xor(first, second)))
    windows++
    sums += 16
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

/** a *= y in the field. */
// @ts-ignore: decorator
@inline
function multiply(a: usize, y0: u64, y1: u64): void {
  const low = load<u64>(a), high = load<u64>(a, 8)
  const r0 = reverse(y0), r1 = reverse(y1)
  const ra = reverse(low), rb = reverse(high)
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
  store<u64>(a, z0 ^ v2 ^ (v2 << 1) ^ (v2 << 2) ^ (v2 << 7))
  store<u64>(a, v1 ^ (v2 >> 63) ^ (v2 >> 62) ^ (v2 >> 57), 8)
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
