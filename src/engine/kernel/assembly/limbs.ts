// Arithmetic modulo q, the order of secp256k1, on nine 29-bit limbs: limb i weighs 2^29i. Products are gathered in
// 18 columns of 64 bits and reduced by Montgomery's method with R = 2^261. No branch, index or loop count follows
// from a value: conditions become masks. q = 2^256 - C with C of 129 bits, so a multiple of q is added as
// m * 2^256 - m * C, five multiplications.

/** One limb. */
export const MASK: u64 = 0x1fffffff
const TOP: u64 = 0xffffff
const C0: u64 = 0xfc9bebf
const C1: u64 = 0x16d0b99
const C2: u64 = 0xdd7f110
const C3: u64 = 0x24632a1
const C4: u64 = 0x1455
/** C^-1 mod 2^29: times the lowest column it says how often q is added to clear that column. */
const INVERSE: u64 = 0x1588b13f

/** Fixed addresses below the arena. The host clears this page whenever it releases memory. */
export const COLUMNS: usize = 64
export const LIMBS_A: usize = 256
export const LIMBS_B: usize = 320
export const LIMBS_C: usize = 384
export const SCALAR_A: usize = 448
export const SCALAR_B: usize = 480

/** Bytes of a scalar in limb form: nine u32. */
export const LIMB_BYTES: usize = 36

/** 32 bytes little-endian -> nine limbs. Any 256-bit value. */
export function unpack(from: usize, to: usize): void {
  const w0 = load<u64>(from)
  const w1 = load<u64>(from, 8)
  const w2 = load<u64>(from, 16)
  const w3 = load<u64>(from, 24)
  store<u32>(to, <u32>(w0 & MASK))
  store<u32>(to, <u32>((w0 >> 29) & MASK), 4)
  store<u32>(to, <u32>(((w0 >> 58) | (w1 << 6)) & MASK), 8)
  store<u32>(to, <u32>((w1 >> 23) & MASK), 12)
  store<u32>(to, <u32>(((w1 >> 52) | (w2 << 12)) & MASK), 16)
  store<u32>(to, <u32>((w2 >> 17) & MASK), 20)
  store<u32>(to, <u32>(((w2 >> 46) | (w3 << 18)) & MASK), 24)
  store<u32>(to, <u32>((w3 >> 11) & MASK), 28)
  store<u32>(to, <u32>(w3 >> 40), 32)
}

/** columns = 0 */
export function clearColumns(): void {
  memory.fill(COLUMNS, 0, 144)
}

/** columns += a * b: limbs at `a`, 32 packed bytes at `b`. */
export function addProduct(a: usize, b: usize): void {
  addProducts(a, b, 0, 1)
}

/**
 * columns += Σ a_k * b_k over `count` limb forms in a row at `a` and packed scalars `stride` bytes apart at `b`.
 * At most six terms between two carries: a column grows by less than 2^61.2 a term.
 */
export function addProducts(a: usize, b: usize, stride: usize, count: i32): void {
  const c = COLUMNS
  let c0 = load<u64>(c), c1 = load<u64>(c, 8), c2 = load<u64>(c, 16), c3 = load<u64>(c, 24)
  let c4 = load<u64>(c, 32), c5 = load<u64>(c, 40), c6 = load<u64>(c, 48), c7 = load<u64>(c, 56)
  let c8 = load<u64>(c, 64), c9 = load<u64>(c, 72), c10 = load<u64>(c, 80), c11 = load<u64>(c, 88)
  let c12 = load<u64>(c, 96), c13 = load<u64>(c, 104), c14 = load<u64>(c, 112), c15 = load<u64>(c, 120)
  let c16 = load<u64>(c, 128)
  for (let k = 0; k < count; k++) {
    const a0 = <u64>load<u32>(a), a1 = <u64>load<u32>(a, 4), a2 = <u64>load<u32>(a, 8)
    const a3 = <u64>load<u32>(a, 12), a4 = <u64>load<u32>(a, 16), a5 = <u64>load<u32>(a, 20)
    const a6 = <u64>load<u32>(a, 24), a7 = <u64>load<u32>(a, 28), a8 = <u64>load<u32>(a, 32)
    const w0 = load<u64>(b), w1 = load<u64>(b, 8), w2 = load<u64>(b, 16), w3 = load<u64>(b, 24)
    const b0 = w0 & MASK, b1 = (w0 >> 29) & MASK, b2 = ((w0 >> 58) | (w1 << 6)) & MASK, b3 = (w1 >> 23) & MASK
    const b4 = ((w1 >> 52) | (w2 << 12)) & MASK, b5 = (w2 >> 17) & MASK, b6 = ((w2 >> 46) | (w3 << 18)) & MASK
    const b7 = (w3 >> 11) & MASK, b8 = w3 >> 40
    c0 += a0 * b0
    c1 += a0 * b1 + a1 * b0
    c2 += a0 * b2 + a1 * b1 + a2 * b0
    c3 += a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0
    c4 += a0 * b4 + a1 * b3 + a2 * b2 + a3 * b1 + a4 * b0
    c5 += a0 * b5 + a1 * b4 + a2 * b3 + a3 * b2 + a4 * b1 + a5 * b0
    c6 += a0 * b6 + a1 * b5 + a2 * b4 + a3 * b3 + a4 * b2 + a5 * b1 + a6 * b0
    c7 += a0 * b7 + a1 * b6 + a2 * b5 + a3 * b4 + a4 * b3 + a5 * b2 + a6 * b1 + a7 * b0
    c8 += a0 * b8 + a1 * b7 + a2 * b6 + a3 * b5 + a4 * b4 + a5 * b3 + a6 * b2 + a7 * b1 + a8 * b0
    c9 += a1 * b8 + a2 * b7 + a3 * b6 + a4 * b5 + a5 * b4 + a6 * b3 + a7 * b2 + a8 * b1
    c10 += a2 * b8 + a3 * b7 + a4 * b6 + a5 * b5 + a6 * b4 + a7 * b3 + a8 * b2
    c11 += a3 * b8 + a4 * b7 + a5 * b6 + a6 * b5 + a7 * b4 + a8 * b3
    c12 += a4 * b8 + a5 * b7 + a6 * b6 + a7 * b5 + a8 * b4
    c13 += a5 * b8 + a6 * b7 + a7 * b6 + a8 * b5
    c14 += a6 * b8 + a7 * b7 + a8 * b6
    c15 += a7 * b8 + a8 * b7
    c16 += a8 * b8
    a += LIMB_BYTES
    b += stride
  }
  store<u64>(c, c0); store<u64>(c, c1, 8); store<u64>(c, c2, 16); store<u64>(c, c3, 24); store<u64>(c, c4, 32)
  store<u64>(c, c5, 40); store<u64>(c, c6, 48); store<u64>(c, c7, 56); store<u64>(c, c8, 64)
  store<u64>(c, c9, 72); store<u64>(c, c10, 80); store<u64>(c, c11, 88); store<u64>(c, c12, 96)
  store<u64>(c, c13, 104); store<u64>(c, c14, 112); store<u64>(c, c15, 120); store<u64>(c, c16, 128)
}

/** Carries every column but the last down to 29 bits. */
export function carryColumns(): void {
  let carry: u64 = 0
  for (let k: usize = 0; k < 136; k += 8) {
    const sum = load<u64>(COLUMNS + k) + carry
    store<u64>(COLUMNS + k, sum & MASK)
    carry = sum >> 29
  }
  store<u64>(COLUMNS, load<u64>(COLUMNS, 136) + carry, 136)
}

/**
 * out = columns / 2^261 mod q, canonical. Columns are below 2^62.8 and their value below 2^14 * q * 2^261, so what
 * the nine rounds leave needs one fold and one conditional subtraction.
 */
export function reduceColumns(out: usize): void {
  const c0 = load<i64>(COLUMNS), c1 = load<i64>(COLUMNS, 8), c2 = load<i64>(COLUMNS, 16)
  const c3 = load<i64>(COLUMNS, 24), c4 = load<i64>(COLUMNS, 32), c5 = load<i64>(COLUMNS, 40)
  const c6 = load<i64>(COLUMNS, 48), c7 = load<i64>(COLUMNS, 56), c8 = load<i64>(COLUMNS, 64)
  const c9 = load<i64>(COLUMNS, 72), c10 = load<i64>(COLUMNS, 80), c11 = load<i64>(COLUMNS, 88)
  const c12 = load<i64>(COLUMNS, 96), c13 = load<i64>(COLUMNS, 104), c14 = load<i64>(COLUMNS, 112)
  const c15 = load<i64>(COLUMNS, 120), c16 = load<i64>(COLUMNS, 128), c17 = load<i64>(COLUMNS, 136)
  reduce(c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, c17, out)
}

/** As `reduceColumns`, of columns that are at hand. */
// @ts-ignore: decorator
@inline
export function reduce(
  c0: i64, c1: i64, c2: i64, c3: i64, c4: i64, c5: i64, c6: i64, c7: i64, c8: i64,
  c9: i64, c10: i64, c11: i64, c12: i64, c13: i64, c14: i64, c15: i64, c16: i64, c17: i64, out: usize,
): void {
  let m: i64
  m = (c0 * <i64>INVERSE) & <i64>MASK
  c1 += ((c0 - m * <i64>C0) >> 29) - m * <i64>C1
  c2 -= m * <i64>C2; c3 -= m * <i64>C3; c4 -= m * <i64>C4; c8 += m << 24
  m = (c1 * <i64>INVERSE) & <i64>MASK
  c2 += ((c1 - m * <i64>C0) >> 29) - m * <i64>C1
  c3 -= m * <i64>C2; c4 -= m * <i64>C3; c5 -= m * <i64>C4; c9 += m << 24
  m = (c2 * <i64>INVERSE) & <i64>MASK
  c3 += ((c2 - m * <i64>C0) >> 29) - m * <i64>C1
  c4 -= m * <i64>C2; c5 -= m * <i64>C3; c6 -= m * <i64>C4; c10 += m << 24
  m = (c3 * <i64>INVERSE) & <i64>MASK
  c4 += ((c3 - m * <i64>C0) >> 29) - m * <i64>C1
  c5 -= m * <i64>C2; c6 -= m * <i64>C3; c7 -= m * <i64>C4; c11 += m << 24
  m = (c4 * <i64>INVERSE) & <i64>MASK
  c5 += ((c4 - m * <i64>C0) >> 29) - m * <i64>C1
  c6 -= m * <i64>C2; c7 -= m * <i64>C3; c8 -= m * <i64>C4; c12 += m << 24
  m = (c5 * <i64>INVERSE) & <i64>MASK
  c6 += ((c5 - m * <i64>C0) >> 29) - m * <i64>C1
  c7 -= m * <i64>C2; c8 -= m * <i64>C3; c9 -= m * <i64>C4; c13 += m << 24
  m = (c6 * <i64>INVERSE) & <i64>MASK
  c7 += ((c6 - m * <i64>C0) >> 29) - m * <i64>C1
  c8 -= m * <i64>C2; c9 -= m * <i64>C3; c10 -= m * <i64>C4; c14 += m << 24
  m = (c7 * <i64>INVERSE) & <i64>MASK
  c8 += ((c7 - m * <i64>C0) >> 29) - m * <i64>C1
  c9 -= m * <i64>C2; c10 -= m * <i64>C3; c11 -= m * <i64>C4; c15 += m << 24
  m = (c8 * <i64>INVERSE) & <i64>MASK
  c9 += ((c8 - m * <i64>C0) >> 29) - m * <i64>C1
  c10 -= m * <i64>C2; c11 -= m * <i64>C3; c12 -= m * <i64>C4; c16 += m << 24
  finish(c9, c10, c11, c12, c13, c14, c15, c16, c17, out)
}

/** Nine signed limbs of a value in [0, 2^270) -> 32 canonical bytes. */
export function finish(
  l0: i64, l1: i64, l2: i64, l3: i64, l4: i64, l5: i64, l6: i64, l7: i64, l8: i64, out: usize,
): void {
  const mask = <i64>MASK
  l1 += l0 >> 29; l0 &= mask
  l2 += l1 >> 29; l1 &= mask
  l3 += l2 >> 29; l2 &= mask
  l4 += l3 >> 29; l3 &= mask
  l5 += l4 >> 29; l4 &= mask
  l6 += l5 >> 29; l5 &= mask
  l7 += l6 >> 29; l6 &= mask
  l8 += l7 >> 29; l7 &= mask
  const top = l8 >> 24
  l8 &= <i64>TOP
  // 2^256 = C mod q, so v = l + top * C is the value and below 2q. v >= q exactly when s = v + C carries out of
  // 2^256, and then v - q = s - 2^256. Both chains run side by side.
  const next = top + 1
  const s0 = l0 + next * <i64>C0
  l0 += top * <i64>C0
  const s1 = l1 + next * <i64>C1 + (s0 >> 29)
  l1 += top * <i64>C1 + (l0 >> 29)
  const s2 = l2 + next * <i64>C2 + (s1 >> 29)
  l2 += top * <i64>C2 + (l1 >> 29)
  const s3 = l3 + next * <i64>C3 + (s2 >> 29)
  l3 += top * <i64>C3 + (l2 >> 29)
  const s4 = l4 + next * <i64>C4 + (s3 >> 29)
  l4 += top * <i64>C4 + (l3 >> 29)
  const s5 = l5 + (s4 >> 29)
  l5 += l4 >> 29
  const s6 = l6 + (s5 >> 29)
  l6 += l5 >> 29
  const s7 = l7 + (s6 >> 29)
  l7 += l6 >> 29
  const s8 = l8 + (s7 >> 29)
  l8 += l7 >> 29
  const take = -(s8 >> 24) & <i64>MASK
  const keep = take ^ <i64>MASK
  l0 = (s0 & take) | (l0 & keep)
  l1 = (s1 & take) | (l1 & keep)
  l2 = (s2 & take) | (l2 & keep)
  l3 = (s3 & take) | (l3 & keep)
  l4 = (s4 & take) | (l4 & keep)
  l5 = (s5 & take) | (l5 & keep)
  l6 = (s6 & take) | (l6 & keep)
  l7 = (s7 & take) | (l7 & keep)
  l8 = ((s8 & take) | (l8 & keep)) & <i64>TOP
  store<i64>(out, l0 | (l1 << 29) | (l2 << 58))
  store<i64>(out, (l2 >> 6) | (l3 << 23) | (l4 << 52), 8)
  store<i64>(out, (l4 >> 12) | (l5 << 17) | (l6 << 46), 16)
  store<i64>(out, (l6 >> 18) | (l7 << 11) | (l8 << 40), 24)
}
