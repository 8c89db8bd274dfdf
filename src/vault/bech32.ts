/**
 * Bech32 (BIP 173) without its length limit, as age writes keys: prefix ‖ '1' ‖ data of 5 bits a character ‖ checksum
 * of 6. Works on bytes: a string with a secret in it could not be wiped.
 */
const CHARSET = Buffer.from('qpzry9x8gf2tvdw0s3jn54khce6mua7l', 'ascii')
const GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]
const CHECKSUM_LENGTH = 6
const ONE = 0x31

const polymod = (values: Iterable<number>): number => {
  let checksum = 1
  for (const value of values) {
    const top = checksum >>> 25
    checksum = ((checksum & 0x1ffffff) << 5) ^ value
    for (const [bit, generator] of GENERATOR.entries()) if (((top >>> bit) & 1) === 1) checksum ^= generator
  }
  return checksum >>> 0
}

const expandPrefix = (prefix: string): number[] => {
  const codes = [...Buffer.from(prefix, 'ascii')]
  return [...codes.map((code) => code >> 5), 0, ...codes.map((code) => code & 31)]
}

/** Groups of `from` bits as groups of `to` bits; undefined when what is left over is not zero padding. */
const regroup = (values: ArrayLike<number>, from: number, to: number, pad: boolean): Uint8Array | undefined => {
  const out = new Uint8Array(Math.ceil((values.length * from) / to))
  let [held, bits, length] = [0, 0, 0]
  for (let at = 0; at < values.length; at++) {
    held = ((held << from) | (values[at] ?? 0)) & 0xfff
    bits += from
    while (bits >= to) {
      bits -= to
      out[length++] = (held >> bits) & ((1 << to) - 1)
    }
  }
  const rest = held & ((1 << bits) - 1)
  if (pad && bits > 0) out[length++] = (rest << (to - bits)) & ((1 << to) - 1)
  else if (!pad && (bits >= from || rest !== 0)) return undefined
  const exact = out.slice(0, length)
  out.fill(0)
  return exact
}

/** In lower case, as ASCII bytes. */
export const encodeBech32 = (prefix: string, bytes: Uint8Array): Uint8Array => {
  const data = regroup(bytes, 8, 5, true) ?? new Uint8Array(0)
  const checksum = polymod([...expandPrefix(prefix), ...data, 0, 0, 0, 0, 0, 0]) ^ 1
  const out = new Uint8Array(prefix.length + 1 + data.length + CHECKSUM_LENGTH)
  out.set(Buffer.from(`${prefix}1`, 'ascii'))
  for (const [at, value] of data.entries()) out[prefix.length + 1 + at] = CHARSET[value] ?? 0
  for (let at = 0; at < CHECKSUM_LENGTH; at++) {
    const value = (checksum >>> (5 * (CHECKSUM_LENGTH - 1 - at))) & 31
    out[prefix.length + 1 + data.length + at] = CHARSET[value] ?? 0
  }
  data.fill(0)
  return out
}

const lowered = (text: Uint8Array): Uint8Array | undefined => {
  const isUpper = text.some((code) => code >= 0x41 && code <= 0x5a)
  const isLower = text.some((code) => code >= 0x61 && code <= 0x7a)
  if (isUpper && isLower) return undefined
  return text.map((code) => (code >= 0x41 && code <= 0x5a ? code | 0x20 : code))
}

/** The bytes behind `prefix` (lower case); undefined for mixed case, another prefix, checksum or padding. */
export const decodeBech32 = (prefix: string, text: Uint8Array): Uint8Array | undefined => {
  const lower = lowered(text)
  const split = lower?.lastIndexOf(ONE) ?? -1
  if (lower === undefined || Buffer.from(lower.subarray(0, Math.max(split, 0))).toString('latin1') !== prefix) {
    return undefined
  }
  const values = lower.slice(split + 1).map((code) => {
    const value = CHARSET.indexOf(code)
    return value < 0 ? 0xff : value
  })
  lower.fill(0)
  const known = !values.includes(0xff) && values.length >= CHECKSUM_LENGTH
  const isSound = known && polymod([...expandPrefix(prefix), ...values]) === 1
  const bytes = isSound ? regroup(values.subarray(0, -CHECKSUM_LENGTH), 5, 8, false) : undefined
  values.fill(0)
  return bytes
}
