const HEX = /^0x(?:[0-9a-fA-F]{2})*$/

/** Lower-case `0x` hex of any byte string. */
export const toHex = (bytes: Uint8Array): `0x${string}` =>
  `0x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}`

/** The bytes behind `0x` and an even count of hex digits of either case; anything else is undefined. */
export const fromHex = (text: string): Uint8Array | undefined =>
  HEX.test(text) ? new Uint8Array(Buffer.from(text.slice(2), 'hex')) : undefined

export const concatBytes = (...parts: readonly Uint8Array[]): Uint8Array => {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let offset = 0
  for (const part of parts) {
    joined.set(part, offset)
    offset += part.length
  }
  return joined
}

export const equalBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, index) => byte === b[index])

/** Big-endian bytes as an unsigned integer; no bytes are zero. */
export const bytesToBigint = (bytes: Uint8Array): bigint => (bytes.length === 0 ? 0n : BigInt(toHex(bytes)))

/** Unsigned big-endian, no leading zero byte; zero is the empty string (RLP's integer form). */
export const bigintToMinimalBytes = (value: bigint): Uint8Array => {
  if (value === 0n) return new Uint8Array()
  const digits = value.toString(16)
  return new Uint8Array(Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex'))
}

/** Two's complement in one 32-byte EVM word; the caller has checked the range. */
export const bigintToWord = (value: bigint): Uint8Array => {
  const word = new Uint8Array(32)
  const view = new DataView(word.buffer)
  for (let at = 24, rest = value; at >= 0; at -= 8, rest >>= 64n) view.setBigUint64(at, BigInt.asUintN(64, rest))
  return word
}
