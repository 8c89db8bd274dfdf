/** Slow arithmetic to compare the kernel with. BigInt is variable-time and lives in tests only. */
import { createHash } from 'node:crypto'

export const Q = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
export const MAX_256 = 2n ** 256n - 1n

export const mod = (value: bigint): bigint => ((value % Q) + Q) % Q

export function toLe(value: bigint, length = 32): Uint8Array {
  const out = new Uint8Array(length)
  for (let i = 0; i < length; i++) out[i] = Number((value >> BigInt(8 * i)) & 255n)
  return out
}

export function fromLe(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes.toReversed()).toString('hex') || '0'}`)
}

export const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** Bytes that repeat for a seed. */
export function seededBytes(seed: string): (length: number) => Uint8Array {
  let counter = 0
  return (length) => {
    const parts: Buffer[] = []
    for (let have = 0; have < length; have += 32) {
      counter += 1
      parts.push(createHash('sha256').update(`${seed}/${counter}`).digest())
    }
    return new Uint8Array(Buffer.concat(parts).subarray(0, length))
  }
}

export const EDGES: readonly bigint[] = [0n, 1n, 2n, Q - 1n, Q - 2n, 2n ** 255n, (Q - 1n) / 2n, (Q + 1n) / 2n]
export const OVER: readonly bigint[] = [Q, Q + 1n, MAX_256, MAX_256 - 1n]

/** Product in GF(2^128) modulo X^128 + X^7 + X^2 + X + 1, bit i being X^i. */
export function gfMultiply(a: bigint, b: bigint): bigint {
  let product = 0n
  for (let i = 0n; i < 128n; i++) if (((b >> i) & 1n) === 1n) product ^= a << i
  for (let i = 254n; i >= 128n; i--) if (((product >> i) & 1n) === 1n) product ^= (0x87n << (i - 128n)) | (1n << i)
  return product
}

/** h_χ(row) = Σ_{j<n} b_j χ^(n-j) + b_n. */
export function polyHash(row: Uint8Array, chi: bigint): bigint {
  let sum = 0n
  for (let offset = 0; offset < row.length; offset += 16) {
    sum ^= fromLe(row.subarray(offset, offset + 16))
    if (offset + 16 < row.length) sum = gfMultiply(sum, chi)
  }
  return sum
}

export const bitOf = (bytes: Uint8Array, j: number): number => ((bytes[j >> 3] ?? 0) >> (j & 7)) & 1

/** Bit i of out[j] = bit j of row i. */
export function transposeSlow(rows: readonly Uint8Array[], columns: number): Uint8Array {
  const out = new Uint8Array(columns * 16)
  for (let j = 0; j < columns; j++) {
    rows.forEach((row, i) => {
      out[16 * j + (i >> 3)] = (out[16 * j + (i >> 3)] ?? 0) | (bitOf(row, j) << (i & 7))
    })
  }
  return out
}
