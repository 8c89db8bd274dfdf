// The rows of the random vector OLE (protocol §8). A row is three packed scalars, 96 bytes; choice bits are read
// as masks. Gadget and theta come in Montgomery limbs, so that one reduction gives a plain scalar.
import { combineRow } from './combine'
import { LIMB_BYTES, SCALAR_B, addProducts, carryColumns, clearColumns, reduceColumns } from './limbs'
import { toMontgomery } from './scalar'
import { addMasked, subtract } from './words'

const ROW: usize = 96

/** Limbs of each of `count` packed scalars times 2^261. */
export function to_montgomery_limbs(scalars: usize, count: i32, limbs: usize): void {
  for (let j = 0; j < count; j++) {
    toMontgomery(scalars, limbs)
    scalars += 32
    limbs += LIMB_BYTES
  }
}

/** out = Σ_j limbs_j · scalar_j, the scalars `stride` bytes apart. */
export function dot(limbs: usize, scalars: usize, stride: usize, count: i32, out: usize): void {
  clearColumns()
  for (let j = 0; j < count; j += 6) {
    const terms = min(6, count - j)
    addProducts(limbs, scalars, stride, terms)
    carryColumns()
    limbs += LIMB_BYTES * terms
    scalars += stride * terms
  }
  reduceColumns(out)
}

/** out = Σ_j β_j · scalar_j */
export function choice_sum(scalars: usize, choices: usize, count: i32, out: usize): void {
  memory.fill(SCALAR_B, 0, 32)
  for (let j = 0; j < count; j++) {
    addMasked(SCALAR_B, scalars, choiceMask(choices, j), SCALAR_B)
    scalars += 32
  }
  memory.copy(out, SCALAR_B, 32)
}

/** out_{j,i} = α0_{j,i} - α1_{j,i} + input_i, input being three scalars. */
export function rvole_correct(alpha0: usize, alpha1: usize, input: usize, count: i32, out: usize): void {
  for (let j = 0; j < count; j++) {
    for (let i: usize = 0; i < ROW; i += 32) {
      subtract(alpha0 + i, alpha1 + i, SCALAR_B)
      addMasked(SCALAR_B, input + i, <u64>-1, out + i)
    }
    alpha0 += ROW
    alpha1 += ROW
    out += ROW
  }
}

/** out_{j,i} = γ_{j,i} + β_j · ã_{j,i} */
export function rvole_apply(gamma: usize, corrections: usize, choices: usize, count: i32, out: usize): void {
  for (let j = 0; j < count; j++) {
    const mask = choiceMask(choices, j)
    for (let i: usize = 0; i < ROW; i += 32) addMasked(gamma + i, corrections + i, mask, out + i)
    gamma += ROW
    corrections += ROW
    out += ROW
  }
}

/** out_j = row_{j,2} + θ_0 row_{j,0} + θ_1 row_{j,1} + β_j · extra; theta is two scalars in limbs. */
export function rvole_combine(
  rows: usize, theta: usize, extra: usize, choices: usize, count: i32, out: usize,
): void {
  for (let j = 0; j < count; j++) {
    combineRow(rows, theta, extra, choiceMask(choices, j), out)
    rows += ROW
    out += 32
  }
}

function choiceMask(choices: usize, j: i32): u64 {
  return 0 - <u64>((load<u8>(choices + (j >> 3)) >> <u8>(j & 7)) & 1)
}
