// The nonce point of an Ed25519 signature (protocol §18.2), D_C + ρ_C·E_C + D_S + ρ_S·E_S on the curve
// -x^2 + y^2 = 1 + d·x^2·y^2. Points and factors are public and so is the result: this is in variable time, and nothing
// secret may come here. Points are X, Y, Z, T with x = X/Z, y = Y/Z, T = XY/Z; the formulas of Hisil, Wong, Carter and
// Dawson (ePrint 2008/522) for a = -1 hold for every pair of points. Both products share their doublings.
import {
  FIELD_BYTES, fieldAdd, fieldInvert, fieldMul, fieldPack, fieldRoot, fieldSquare, fieldSub, fieldUnpack,
} from './field25519'

const POINT_BYTES: usize = 4 * FIELD_BYTES
/** Odd multiples 1, 3, …, 15 of a point. */
const TABLE: i32 = 8
const WINDOW: i32 = 5
const BITS: i32 = 256

/** Offsets in the working memory: numbers, constants, points, tables, digits, a scalar with room behind it. */
const D: usize = 10 * FIELD_BYTES
const TWICE_D: usize = 11 * FIELD_BYTES
const ROOT_OF_MINUS_ONE: usize = 12 * FIELD_BYTES
const SUM: usize = 13 * FIELD_BYTES
const POINT: usize = SUM + POINT_BYTES
const ADDEND: usize = POINT + POINT_BYTES
const TABLES: usize = ADDEND + POINT_BYTES
const DIGITS: usize = TABLES + 2 * <usize>TABLE * POINT_BYTES
const SCALAR: usize = DIGITS + 2 * <usize>BITS

let work: usize = 0

/**
 * out = the encoded sum, 1; or 0 when a commitment is not on the curve. `commitments` are D_C, E_C, D_S, E_S,
 * `factors` ρ_C, ρ_S; 3 840 bytes at `memory` are overwritten.
 */
export function edwards_nonce_sum(commitments: usize, factors: usize, memory: usize, out: usize): i32 {
  work = memory
  storeConstants()
  for (let i: usize = 0; i < 2; i++) {
    if (!decode(commitments + 64 * i + 32, work + POINT)) return 0
    fillTable(work + TABLES + i * <usize>TABLE * POINT_BYTES)
    writeDigits(factors + 32 * i, work + DIGITS + i * BITS)
  }
  multiply()
  for (let i: usize = 0; i < 2; i++) {
    if (!decode(commitments + 64 * i, work + POINT)) return 0
    toAddend(work + POINT, work + ADDEND)
    addTo(work + ADDEND, false)
  }
  encode(work + SUM, out)
  return 1
}

/** SUM = Σ digits · table over both tables, doubling once a bit. */
function multiply(): void {
  const sum = work + SUM
  memory.fill(sum, 0, POINT_BYTES)
  store<i32>(sum + FIELD_BYTES, 1)
  store<i32>(sum + 2 * FIELD_BYTES, 1)
  let bit = BITS - 1
  while (bit >= 0 && load<u8>(work + DIGITS + bit) == 0 && load<u8>(work + DIGITS + BITS + bit) == 0) bit--
  for (; bit >= 0; bit--) {
    const first = <i32>load<i8>(work + DIGITS + bit), second = <i32>load<i8>(work + DIGITS + BITS + bit)
    double((first | second) != 0 || bit == 0)
    if (first != 0) addMultiple(work + TABLES, first)
    if (second != 0) addMultiple(work + TABLES + <usize>TABLE * POINT_BYTES, second)
  }
}

function addMultiple(table: usize, digit: i32): void {
  const negative = digit < 0
  const index = (negative ? -digit : digit) >> 1
  addTo(table + <usize>index * POINT_BYTES, negative)
}

/** SUM = 2 · SUM; T is left out where another doubling follows. */
function double(withT: bool): void {
  const x = work + SUM, y = x + FIELD_BYTES, z = y + FIELD_BYTES, t = z + FIELD_BYTES
  const a = work, b = a + FIELD_BYTES, c = b + FIELD_BYTES, e = c + FIELD_BYTES, g = e + FIELD_BYTES
  const f = g + FIELD_BYTES, h = f + FIELD_BYTES
  fieldAdd(x, y, e)
  fieldSquare(x, a)
  fieldSquare(y, b)
  fieldSquare(z, c)
  fieldSquare(e, e)
  fieldAdd(a, b, h)
  fieldSub(h, e, e)
  fieldSub(a, b, g)
  fieldAdd(c, c, f)
  fieldAdd(f, g, f)
  fieldMul(e, f, x)
  fieldMul(g, h, y)
  fieldMul(f, g, z)
  if (withT) fieldMul(e, h, t)
}

/** SUM += addend, or -= when `negative`: an addend is Y + X, Y - X, 2Z, 2d·T. */
function addTo(addend: usize, negative: bool): void {
  const x = work + SUM, y = x + FIELD_BYTES, z = y + FIELD_BYTES, t = z + FIELD_BYTES
  const a = work, b = a + FIELD_BYTES, c = b + FIELD_BYTES, d = c + FIELD_BYTES, e = d + FIELD_BYTES
  const f = e + FIELD_BYTES, g = f + FIELD_BYTES, h = g + FIELD_BYTES
  fieldSub(y, x, a)
  fieldAdd(y, x, b)
  fieldMul(a, addend + (negative ? 0 : FIELD_BYTES), a)
  fieldMul(b, addend + (negative ? FIELD_BYTES : 0), b)
  fieldMul(t, addend + 3 * FIELD_BYTES, c)
  fieldMul(z, addend + 2 * FIELD_BYTES, d)
  fieldSub(b, a, e)
  fieldAdd(b, a, h)
  fieldSub(d, c, negative ? g : f)
  fieldAdd(d, c, negative ? f : g)
  fieldMul(e, f, x)
  fieldMul(g, h, y)
  fieldMul(f, g, z)
  fieldMul(e, h, t)
}

function toAddend(point: usize, out: usize): void {
  const y = point + FIELD_BYTES, z = y + FIELD_BYTES, t = z + FIELD_BYTES
  fieldAdd(y, point, out)
  fieldSub(y, point, out + FIELD_BYTES)
  fieldAdd(z, z, out + 2 * FIELD_BYTES)
  fieldMul(t, work + TWICE_D, out + 3 * FIELD_BYTES)
}

/** The odd multiples of POINT as addends. */
function fillTable(table: usize): void {
  memory.copy(work + SUM, work + POINT, POINT_BYTES)
  toAddend(work + SUM, table)
  double(true)
  toAddend(work + SUM, work + ADDEND)
  memory.copy(work + SUM, work + POINT, POINT_BYTES)
  for (let i = 1; i < TABLE; i++) {
    addTo(work + ADDEND, false)
    toAddend(work + SUM, table + <usize>i * POINT_BYTES)
  }
}

/** Signed odd digits within ±15, any two of them at least five places apart: Σ digit_i · 2^i is the scalar. */
function writeDigits(scalar: usize, digits: usize): void {
  const bits = work + SCALAR
  memory.copy(bits, scalar, 32)
  store<u64>(bits, 0, 32)
  memory.fill(digits, 0, BITS)
  let carry: u32 = 0
  for (let i = 0; i < BITS;) {
    const value = <u32>(load<u16>(bits + (i >> 3)) >> <u16>(i & 7))
    if ((value & 1) == carry) {
      i++
      continue
    }
    const digit = (value & 31) + carry
    carry = digit >> 4
    store<i8>(digits + i, <i8>(<i32>digit - <i32>(carry << 5)))
    i += WINDOW
  }
}

/** A canonical encoding -> X, Y, 1, T; false when no point has it. */
function decode(from: usize, point: usize): bool {
  const y = point + FIELD_BYTES, z = y + FIELD_BYTES, t = z + FIELD_BYTES
  const root = work, u = work + 4 * FIELD_BYTES, v = u + FIELD_BYTES, v3 = v + FIELD_BYTES, s = v3 + FIELD_BYTES
  fieldUnpack(from, y)
  memory.fill(z, 0, FIELD_BYTES)
  store<i32>(z, 1)
  fieldSquare(y, s)
  fieldSub(s, z, u)
  fieldMul(s, work + D, v)
  fieldAdd(v, z, v)
  // x = u·v^3 · (u·v^7)^((p-5)/8) is a root of u/v, or of -u/v, when there is one.
  fieldSquare(v, v3)
  fieldMul(v3, v, v3)
  fieldSquare(v3, s)
  fieldMul(s, v, s)
  fieldMul(s, u, s)
  fieldRoot(s, root, s)
  fieldMul(s, v3, s)
  fieldMul(s, u, point)
  fieldSquare(point, s)
  fieldMul(s, v, s)
  fieldSub(s, u, t)
  if (!isZero(t)) {
    fieldAdd(s, u, t)
    if (!isZero(t)) return false
    fieldMul(point, work + ROOT_OF_MINUS_ONE, point)
  }
  fieldPack(point, s)
  if ((load<u8>(s) & 1) != load<u8>(from, 31) >> 7) {
    memory.fill(t, 0, FIELD_BYTES)
    fieldSub(t, point, point)
  }
  fieldMul(point, y, t)
  return true
}

function encode(point: usize, out: usize): void {
  const inverse = work + 4 * FIELD_BYTES, x = inverse + FIELD_BYTES
  fieldInvert(point + 2 * FIELD_BYTES, work, inverse)
  fieldMul(point, inverse, x)
  fieldMul(point + FIELD_BYTES, inverse, inverse)
  fieldPack(inverse, out)
  fieldPack(x, inverse)
  store<u8>(out, load<u8>(out, 31) | (load<u8>(inverse) << 7), 31)
}

function isZero(a: usize): bool {
  const packed = work + 8 * FIELD_BYTES
  fieldPack(a, packed)
  return (load<u64>(packed) | load<u64>(packed, 8) | load<u64>(packed, 16) | load<u64>(packed, 24)) == 0
}

/** d = -121665/121666, 2d, and 2^((p-1)/4), a root of -1. */
function storeConstants(): void {
  storeNumber(
    D, 0x135978a3, 0xf5a6e50, 0x10762add, 0x149a82, 0x1e898007, 0x3cbbbc, 0x19ce331d, 0x1dc56dff, 0x52036c,
  )
  storeNumber(
    TWICE_D, 0x6b2f159, 0x1eb4dca1, 0xec55ba, 0x293505, 0x1d13000e, 0x797779, 0x139c663a, 0x1b8adbff, 0x2406d9,
  )
  storeNumber(
    ROOT_OF_MINUS_ONE,
    0xa0ea0b0, 0x770d93a, 0xbf91e31, 0x6300d5a, 0x1d7a72f4, 0x4c9efd, 0x1c2cad34, 0x1009f83b, 0x2b8324,
  )
}

function storeNumber(
  at: usize, l0: i32, l1: i32, l2: i32, l3: i32, l4: i32, l5: i32, l6: i32, l7: i32, l8: i32,
): void {
  const to = work + at
  store<i32>(to, l0)
  store<i32>(to, l1, 4)
  store<i32>(to, l2, 8)
  store<i32>(to, l3, 12)
  store<i32>(to, l4, 16)
  store<i32>(to, l5, 20)
  store<i32>(to, l6, 24)
  store<i32>(to, l7, 28)
  store<i32>(to, l8, 32)
}
