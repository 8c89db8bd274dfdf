// The inverse modulo q by division steps (Bernstein and Yang, "Fast constant-time gcd computation and modular
// inversion", 2019), the half-delta variant as bounded in libsecp256k1's doc/safegcd_implementation.md: 590 steps
// bring any g below 2^256 to 0, and 20 batches of 30 are made. Numbers are nine signed limbs of 30 bits, the top
// one free to carry the sign. No branch follows from a value.
import { COLUMNS, LIMBS_A, SCALAR_A } from './limbs'
import { scalar_reduce } from './scalar'

const MASK: i32 = 0x3fffffff
/** q^-1 mod 2^30 */
const INVERSE: i32 = 0x2a774ec1
const BATCHES: i32 = 20
const STEPS: i32 = 30

/** Nine i32 each, in place of the columns. */
const D: usize = COLUMNS
const E: usize = COLUMNS + 36
const F: usize = COLUMNS + 72
const G: usize = COLUMNS + 108
/** The transition matrix of a batch: u, v, q, r. */
const T: usize = COLUMNS + 144
/** q in the same limbs. */
const ORDER: usize = LIMBS_A

/** out = a^-1 mod q, and 0 for 0 */
export function scalar_invert(a: usize, out: usize): void {
  scalar_reduce(a, SCALAR_A)
  memory.fill(D, 0, 72)
  store<i32>(E, 1)
  storeOrder()
  memory.copy(F, ORDER, 36)
  unpack30(SCALAR_A, G)
  let zeta: i32 = -1
  for (let i = 0; i < BATCHES; i++) {
    zeta = divisionSteps(zeta)
    updateCofactors()
    updateRemainders()
  }
  normalize(load<i32>(F, 32) >> 31)
  pack30(D, out)
}

/** 30 steps on the low words of f and g. The matrix that they stand for, times 2^30, goes to T. */
function divisionSteps(start: i32): i32 {
  let zeta = start
  let u: i32 = 1, v: i32 = 0, q: i32 = 0, r: i32 = 1
  let f = load<i32>(F), g = load<i32>(G)
  for (let i = 0; i < STEPS; i++) {
    let swap = zeta >> 31
    const odd = -(g & 1)
    g += ((f ^ swap) - swap) & odd
    q += ((u ^ swap) - swap) & odd
    r += ((v ^ swap) - swap) & odd
    swap &= odd
    zeta = (zeta ^ swap) - 1
    f += g & swap
    u += q & swap
    v += r & swap
    g = <i32>(<u32>g >> 1)
    u <<= 1
    v <<= 1
  }
  store<i32>(T, u)
  store<i32>(T, v, 4)
  store<i32>(T, q, 8)
  store<i32>(T, r, 12)
  return zeta
}

/** (d, e) = T · (d, e) / 2^30 mod q, both staying within (-2q, q). */
function updateCofactors(): void {
  const u = <i64>load<i32>(T), v = <i64>load<i32>(T, 4), q = <i64>load<i32>(T, 8), r = <i64>load<i32>(T, 12)
  const signD = load<i32>(D, 32) >> 31, signE = load<i32>(E, 32) >> 31
  let md = (<i32>u & signD) + (<i32>v & signE)
  let me = (<i32>q & signD) + (<i32>r & signE)
  let di = <i64>load<i32>(D), ei = <i64>load<i32>(E)
  let cd = u * di + v * ei
  let ce = q * di + r * ei
  // The multiple of q that clears the low 30 bits.
  md -= (INVERSE * <i32>cd + md) & MASK
  me -= (INVERSE * <i32>ce + me) & MASK
  cd = (cd + <i64>0x10364141 * <i64>md) >> 30
  ce = (ce + <i64>0x10364141 * <i64>me) >> 30
  for (let k: usize = 4; k < 36; k += 4) {
    di = load<i32>(D + k)
    ei = load<i32>(E + k)
    const order = <i64>load<i32>(ORDER + k)
    cd += u * di + v * ei + order * <i64>md
    ce += q * di + r * ei + order * <i64>me
    store<i32>(D + k - 4, <i32>cd & MASK)
    store<i32>(E + k - 4, <i32>ce & MASK)
    cd >>= 30
    ce >>= 30
  }
  store<i32>(D, <i32>cd, 32)
  store<i32>(E, <i32>ce, 32)
}

/** (f, g) = T · (f, g) / 2^30, which is exact. */
function updateRemainders(): void {
  const u = <i64>load<i32>(T), v = <i64>load<i32>(T, 4), q = <i64>load<i32>(T, 8), r = <i64>load<i32>(T, 12)
  let cf = (u * <i64>load<i32>(F) + v * <i64>load<i32>(G)) >> 30
  let cg = (q * <i64>load<i32>(F) + r * <i64>load<i32>(G)) >> 30
  for (let k: usize = 4; k < 36; k += 4) {
    const fi = <i64>load<i32>(F + k), gi = <i64>load<i32>(G + k)
    cf += u * fi + v * gi
    cg += q * fi + r * gi
    store<i32>(F + k - 4, <i32>cf & MASK)
    store<i32>(G + k - 4, <i32>cg & MASK)
    cf >>= 30
    cg >>= 30
  }
  store<i32>(F, <i32>cf, 32)
  store<i32>(G, <i32>cg, 32)
}

/** d in (-2q, q), negated where `negative` is -1 -> [0, q). */
function normalize(negative: i32): void {
  addOrder(load<i32>(D, 32) >> 31)
  for (let k: usize = 0; k < 36; k += 4) store<i32>(D + k, (load<i32>(D + k) ^ negative) - negative)
  carry()
  addOrder(load<i32>(D, 32) >> 31)
  carry()
}

function addOrder(mask: i32): void {
  for (let k: usize = 0; k < 36; k += 4) store<i32>(D + k, load<i32>(D + k) + (load<i32>(ORDER + k) & mask))
}

function carry(): void {
  let over: i32 = 0
  for (let k: usize = 0; k < 32; k += 4) {
    const limb = load<i32>(D + k) + over
    store<i32>(D + k, limb & MASK)
    over = limb >> 30
  }
  store<i32>(D, load<i32>(D, 32) + over, 32)
}

function storeOrder(): void {
  memory.fill(ORDER, 0, 36)
  store<i32>(ORDER, 0x10364141)
  store<i32>(ORDER, 0x3f497a33, 4)
  store<i32>(ORDER, 0x348a03bb, 8)
  store<i32>(ORDER, 0x2bb739ab, 12)
  store<i32>(ORDER, -0x146, 16)
  store<i32>(ORDER, 0x10000, 32)
}

/** 32 bytes little-endian -> nine limbs of 30 bits. */
function unpack30(from: usize, to: usize): void {
  const mask = <u64>MASK
  const w0 = load<u64>(from), w1 = load<u64>(from, 8), w2 = load<u64>(from, 16), w3 = load<u64>(from, 24)
  store<u32>(to, <u32>(w0 & mask))
  store<u32>(to, <u32>((w0 >> 30) & mask), 4)
  store<u32>(to, <u32>(((w0 >> 60) | (w1 << 4)) & mask), 8)
  store<u32>(to, <u32>((w1 >> 26) & mask), 12)
  store<u32>(to, <u32>(((w1 >> 56) | (w2 << 8)) & mask), 16)
  store<u32>(to, <u32>((w2 >> 22) & mask), 20)
  store<u32>(to, <u32>(((w2 >> 52) | (w3 << 12)) & mask), 24)
  store<u32>(to, <u32>((w3 >> 18) & mask), 28)
  store<u32>(to, <u32>(w3 >> 48), 32)
}

/** Nine limbs of a value below 2^256, none negative -> 32 bytes. */
function pack30(from: usize, to: usize): void {
  const l2 = <u64>load<u32>(from, 8), l4 = <u64>load<u32>(from, 16), l6 = <u64>load<u32>(from, 24)
  store<u64>(to, <u64>load<u32>(from) | (<u64>load<u32>(from, 4) << 30) | (l2 << 60))
  store<u64>(to, (l2 >> 4) | (<u64>load<u32>(from, 12) << 26) | (l4 << 56), 8)
  store<u64>(to, (l4 >> 8) | (<u64>load<u32>(from, 20) << 22) | (l6 << 52), 16)
  store<u64>(to, (l6 >> 12) | (<u64>load<u32>(from, 28) << 18) | (<u64>load<u32>(from, 32) << 48), 24)
}
