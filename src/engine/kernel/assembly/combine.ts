// One row of the consistency check of the random vector OLE (protocol §8): two products and a sum under one reduction,
// with every column in a local. Called 416 times for each of its vectors, it is worth being written out.
import { MASK, reduce } from './limbs'

/** out = row_2 + θ_0 row_0 + θ_1 row_1 + (extra & mask); theta is two scalars in limbs, the rest is packed. */
export function combineRow(row: usize, theta: usize, extra: usize, mask: u64, out: usize): void {
  const s0 = <u64>load<u32>(theta), s1 = <u64>load<u32>(theta, 4), s2 = <u64>load<u32>(theta, 8)
  const s3 = <u64>load<u32>(theta, 12), s4 = <u64>load<u32>(theta, 16), s5 = <u64>load<u32>(theta, 20)
  const s6 = <u64>load<u32>(theta, 24), s7 = <u64>load<u32>(theta, 28), s8 = <u64>load<u32>(theta, 32)
  const t0 = <u64>load<u32>(theta, 36), t1 = <u64>load<u32>(theta, 40), t2 = <u64>load<u32>(theta, 44)
  const t3 = <u64>load<u32>(theta, 48), t4 = <u64>load<u32>(theta, 52), t5 = <u64>load<u32>(theta, 56)
  const t6 = <u64>load<u32>(theta, 60), t7 = <u64>load<u32>(theta, 64), t8 = <u64>load<u32>(theta, 68)
  const aw0 = load<u64>(row), aw1 = load<u64>(row, 8), aw2 = load<u64>(row, 16), aw3 = load<u64>(row, 24)
  const a0 = aw0 & MASK, a1 = (aw0 >> 29) & MASK, a2 = ((aw0 >> 58) | (aw1 << 6)) & MASK
  const a3 = (aw1 >> 23) & MASK, a4 = ((aw1 >> 52) | (aw2 << 12)) & MASK, a5 = (aw2 >> 17) & MASK
  const a6 = ((aw2 >> 46) | (aw3 << 18)) & MASK, a7 = (aw3 >> 11) & MASK, a8 = aw3 >> 40
  const bw0 = load<u64>(row, 32), bw1 = load<u64>(row, 40), bw2 = load<u64>(row, 48), bw3 = load<u64>(row, 56)
  const b0 = bw0 & MASK, b1 = (bw0 >> 29) & MASK, b2 = ((bw0 >> 58) | (bw1 << 6)) & MASK
  const b3 = (bw1 >> 23) & MASK, b4 = ((bw1 >> 52) | (bw2 << 12)) & MASK, b5 = (bw2 >> 17) & MASK
  const b6 = ((bw2 >> 46) | (bw3 << 18)) & MASK, b7 = (bw3 >> 11) & MASK, b8 = bw3 >> 40
  const c0 = s0 * a0 + t0 * b0
  const c1 = s0 * a1 + s1 * a0 + t0 * b1 + t1 * b0
  const c2 = s0 * a2 + s1 * a1 + s2 * a0 + t0 * b2 + t1 * b1 + t2 * b0
  const c3 = s0 * a3 + s1 * a2 + s2 * a1 + s3 * a0 + t0 * b3 + t1 * b2 + t2 * b1 + t3 * b0
  const c4 = s0 * a4 + s1 * a3 + s2 * a2 + s3 * a1 + s4 * a0 + t0 * b4 + t1 * b3 + t2 * b2 + t3 * b1 + t4 * b0
  const c5 = s0 * a5 + s1 * a4 + s2 * a3 + s3 * a2 + s4 * a1 + s5 * a0 + t0 * b5 + t1 * b4 + t2 * b3 + t3 * b2 +
    t4 * b1 + t5 * b0
  const c6 = s0 * a6 + s1 * a5 + s2 * a4 + s3 * a3 + s4 * a2 + s5 * a1 + s6 * a0 + t0 * b6 + t1 * b5 + t2 * b4 +
    t3 * b3 + t4 * b2 + t5 * b1 + t6 * b0
  const c7 = s0 * a7 + s1 * a6 + s2 * a5 + s3 * a4 + s4 * a3 + s5 * a2 + s6 * a1 + s7 * a0 + t0 * b7 + t1 * b6 +
    t2 * b5 + t3 * b4 + t4 * b3 + t5 * b2 + t6 * b1 + t7 * b0
  const c8 = s0 * a8 + s1 * a7 + s2 * a6 + s3 * a5 + s4 * a4 + s5 * a3 + s6 * a2 + s7 * a1 + s8 * a0 + t0 * b8 +
    t1 * b7 + t2 * b6 + t3 * b5 + t4 * b4 + t5 * b3 + t6 * b2 + t7 * b1 + t8 * b0
  const dw0 = load<u64>(row, 64), dw1 = load<u64>(row, 72), dw2 = load<u64>(row, 80), dw3 = load<u64>(row, 88)
  const d0 = dw0 & MASK, d1 = (dw0 >> 29) & MASK, d2 = ((dw0 >> 58) | (dw1 << 6)) & MASK
  const d3 = (dw1 >> 23) & MASK, d4 = ((dw1 >> 52) | (dw2 << 12)) & MASK, d5 = (dw2 >> 17) & MASK
  const d6 = ((dw2 >> 46) | (dw3 << 18)) & MASK, d7 = (dw3 >> 11) & MASK, d8 = dw3 >> 40
  const ew0 = load<u64>(extra) & mask, ew1 = load<u64>(extra, 8) & mask
  const ew2 = load<u64>(extra, 16) & mask, ew3 = load<u64>(extra, 24) & mask
  const e0 = ew0 & MASK, e1 = (ew0 >> 29) & MASK, e2 = ((ew0 >> 58) | (ew1 << 6)) & MASK
  const e3 = (ew1 >> 23) & MASK, e4 = ((ew1 >> 52) | (ew2 << 12)) & MASK, e5 = (ew2 >> 17) & MASK
  const e6 = ((ew2 >> 46) | (ew3 << 18)) & MASK, e7 = (ew3 >> 11) & MASK, e8 = ew3 >> 40
  // The summands stand nine columns up, at 2^261: what is left of them after the reduction is their value.
  const c9 = d0 + e0 + s1 * a8 + s2 * a7 + s3 * a6 + s4 * a5 + s5 * a4 + s6 * a3 + s7 * a2 + s8 * a1 + t1 * b8 +
    t2 * b7 + t3 * b6 + t4 * b5 + t5 * b4 + t6 * b3 + t7 * b2 + t8 * b1
  const c10 = d1 + e1 + s2 * a8 + s3 * a7 + s4 * a6 + s5 * a5 + s6 * a4 + s7 * a3 + s8 * a2 + t2 * b8 + t3 * b7 +
    t4 * b6 + t5 * b5 + t6 * b4 + t7 * b3 + t8 * b2
  const c11 = d2 + e2 + s3 * a8 + s4 * a7 + s5 * a6 + s6 * a5 + s7 * a4 + s8 * a3 + t3 * b8 + t4 * b7 + t5 * b6 +
    t6 * b5 + t7 * b4 + t8 * b3
  const c12 = d3 + e3 + s4 * a8 + s5 * a7 + s6 * a6 + s7 * a5 + s8 * a4 + t4 * b8 + t5 * b7 + t6 * b6 + t7 * b5 +
    t8 * b4
  const c13 = d4 + e4 + s5 * a8 + s6 * a7 + s7 * a6 + s8 * a5 + t5 * b8 + t6 * b7 + t7 * b6 + t8 * b5
  const c14 = d5 + e5 + s6 * a8 + s7 * a7 + s8 * a6 + t6 * b8 + t7 * b7 + t8 * b6
  const c15 = d6 + e6 + s7 * a8 + s8 * a7 + t7 * b8 + t8 * b7
  const c16 = d7 + e7 + s8 * a8 + t8 * b8
  reduce(
    c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, d8 + e8, out,
  )
}
