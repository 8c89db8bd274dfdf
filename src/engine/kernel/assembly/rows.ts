// The rows of the OT extension (protocol §7): 128 rows of L' bits, the transposition, and the inputs and outputs
// of the hash that randomises them. Row lengths are multiples of 16 bytes.
import { subtractOnce } from './words'

const ROWS: i32 = 128

/** u_i = t_i ^ u_i ^ x for all rows, u_i holding the second stream before. */
export function ote_mask_rows(t: usize, u: usize, x: usize, rowBytes: i32): void {
  for (let i = 0; i < ROWS; i++) {
    for (let k = 0; k < rowBytes; k += 16) {
      v128.store(u, v128.xor(v128.xor(v128.load(t), v128.load(u)), v128.load(x + k)))
      t += 16
      u += 16
    }
  }
}

/** q_i ^= delta_i * u_i for all rows: the bit of delta becomes a mask. */
export function ote_select_rows(q: usize, u: usize, delta: usize, rowBytes: i32): void {
  for (let i = 0; i < ROWS; i++) {
    const mask = i64x2.splat(-(<i64>((load<u8>(delta + (i >> 3)) >> <u8>(i & 7)) & 1)))
    for (let k = 0; k < rowBytes; k += 16) {
      v128.store(q, v128.xor(v128.load(q), v128.and(v128.load(u), mask)))
      q += 16
      u += 16
    }
  }
}

/** out[j] bit i = rows[i] bit j: 128 rows of `rowBytes` become 8 * rowBytes strings of 16 bytes. */
export function transpose(rows: usize, rowBytes: i32, out: usize): void {
  for (let k = 0; k < rowBytes; k++) {
    for (let group = 0; group < 8; group++) {
      let bytes = gather(rows + k + 16 * group * rowBytes, rowBytes)
      const to = out + 128 * k + 2 * group
      // The mask collects the top bit of each byte, so bit 7 comes first.
      store<u16>(to, <u16>i8x16.bitmask(bytes), 112)
      bytes = i8x16.shl(bytes, 1)
      store<u16>(to, <u16>i8x16.bitmask(bytes), 96)
      bytes = i8x16.shl(bytes, 1)
      store<u16>(to, <u16>i8x16.bitmask(bytes), 80)
      bytes = i8x16.shl(bytes, 1)
      store<u16>(to, <u16>i8x16.bitmask(bytes), 64)
      bytes = i8x16.shl(bytes, 1)
      store<u16>(to, <u16>i8x16.bitmask(bytes), 48)
      bytes = i8x16.shl(bytes, 1)
      store<u16>(to, <u16>i8x16.bitmask(bytes), 32)
      bytes = i8x16.shl(bytes, 1)
      store<u16>(to, <u16>i8x16.bitmask(bytes), 16)
      bytes = i8x16.shl(bytes, 1)
      store<u16>(to, <u16>i8x16.bitmask(bytes))
    }
  }
}

/** Sixteen bytes, one from each of sixteen consecutive rows. */
// @ts-ignore: decorator
@inline
function gather(p: usize, rowBytes: usize): v128 {
  let v = v128.load8_splat(p)
  v = v128.load_lane<u8>(p + rowBytes, v, 1)
  v = v128.load_lane<u8>(p + 2 * rowBytes, v, 2)
  v = v128.load_lane<u8>(p + 3 * rowBytes, v, 3)
  v = v128.load_lane<u8>(p + 4 * rowBytes, v, 4)
  v = v128.load_lane<u8>(p + 5 * rowBytes, v, 5)
  v = v128.load_lane<u8>(p + 6 * rowBytes, v, 6)
  v = v128.load_lane<u8>(p + 7 * rowBytes, v, 7)
  v = v128.load_lane<u8>(p + 8 * rowBytes, v, 8)
  v = v128.load_lane<u8>(p + 9 * rowBytes, v, 9)
  v = v128.load_lane<u8>(p + 10 * rowBytes, v, 10)
  v = v128.load_lane<u8>(p + 11 * rowBytes, v, 11)
  v = v128.load_lane<u8>(p + 12 * rowBytes, v, 12)
  v = v128.load_lane<u8>(p + 13 * rowBytes, v, 13)
  v = v128.load_lane<u8>(p + 14 * rowBytes, v, 14)
  return v128.load_lane<u8>(p + 15 * rowBytes, v, 15)
}

/** out_j = rows_j ^ block for `count` strings of 16 bytes. */
export function xor_block(rows: usize, block: usize, count: i32, out: usize): void {
  const b = v128.load(block)
  for (let j = 0; j < count; j++) {
    v128.store(out, v128.xor(v128.load(rows), b))
    rows += 16
    out += 16
  }
}

/** out_{j,c} = y_j ^ le128(8j + c) for c < 6: six blocks for each of `count` rows. */
export function tccr_expand(y: usize, count: i32, out: usize): void {
  for (let j = 0; j < count; j++) {
    const low = load<u64>(y)
    const high = load<u64>(y, 8)
    for (let c = 0; c < 6; c++) {
      store<u64>(out, low ^ <u64>(8 * j + c))
      store<u64>(out, high, 8)
      out += 16
    }
    y += 16
  }
}

/** out_{j,c} = e_{j,c} ^ y_j, read as three scalars a row, each reduced by one conditional subtraction. */
export function tccr_finish(e: usize, y: usize, count: i32, out: usize): void {
  for (let j = 0; j < count; j++) {
    const low = load<u64>(y)
    const high = load<u64>(y, 8)
    for (let c = 0; c < 3; c++) {
      subtractOnce(
        load<u64>(e) ^ low, load<u64>(e, 8) ^ high, load<u64>(e, 16) ^ low, load<u64>(e, 24) ^ high, 0, out,
      )
      e += 32
      out += 32
    }
    y += 16
  }
}
