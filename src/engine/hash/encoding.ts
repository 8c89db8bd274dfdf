/**
 * The byte encodings of the protocol (docs/protocol.md §2): integers are fixed-width little-endian, operation
 * names and purposes are ASCII without a terminator.
 */
const ENCODER = new TextEncoder()

/** One byte; refuses anything outside 0..255. */
export function u8(value: number): Uint8Array {
  return unsigned(value, 1)
}

/** Two bytes little-endian. */
export function u16(value: number): Uint8Array {
  return unsigned(value, 2)
}

/** Four bytes little-endian. */
export function u32(value: number): Uint8Array {
  return unsigned(value, 4)
}

/** Eight bytes little-endian. */
export function u64(value: bigint): Uint8Array {
  if (value < 0n || value > 0xffff_ffff_ffff_ffffn) throw new RangeError('u64 out of range')
  const out = new Uint8Array(8)
  viewOf(out).setBigUint64(0, value, true)
  return out
}

/** ASCII bytes of a constant of the protocol. */
export function ascii(text: string): Uint8Array {
  return ENCODER.encode(text)
}

/** Little-endian reads at an offset; the caller has checked the length. */
export function readU16(bytes: Uint8Array, offset: number): number {
  return viewOf(bytes).getUint16(offset, true)
}

export function readU32(bytes: Uint8Array, offset: number): number {
  return viewOf(bytes).getUint32(offset, true)
}

export function readU64(bytes: Uint8Array, offset: number): bigint {
  return viewOf(bytes).getBigUint64(offset, true)
}

/**
 * Zeros with a buffer of their own, for secrets. V8 keeps the bytes of a small array inside its heap: a collection
 * moves them, and when a native function or `subarray` first asks for the buffer they are copied out. What was written
 * before would stay behind, out of reach of any wiping.
 */
export function secretBytes(length: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(length))
}

/**
 * Overwrites a secret that nobody else holds and gives its memory back at once: what a cipher answers is large, and left
 * to the garbage collector it is cold memory again for every next one. The array is empty afterwards.
 */
export function discardBytes(bytes: Uint8Array): void {
  bytes.fill(0)
  const { buffer } = bytes
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength) buffer.transfer(0)
}

/** Joins byte strings; the result is a fresh array which the caller owns (and wipes, when it holds a secret). */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const out = secretBytes(length)
  let offset = 0
  for (const part of parts) {
    out.set(part, offset)
    offset += part.length
  }
  return out
}

/** Equality of public byte strings. Secret-dependent digests are compared with `crypto.timingSafeEqual`. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= (a[i] ?? 0) ^ (b[i] ?? 0)
  return difference === 0
}

function unsigned(value: number, width: 1 | 2 | 4): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * width)) {
    throw new RangeError(`u${8 * width} out of range`)
  }
  const out = new Uint8Array(width)
  for (let i = 0; i < width; i++) out[i] = Math.floor(value / 2 ** (8 * i)) & 0xff
  return out
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/**
 * The same bytes as a plain Uint8Array: `slice` of a Buffer does not copy, and a record that is kept while its source
 * is wiped would be wiped with it. Everything that enters the engine from outside passes here.
 */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  return bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
