/** Secrets that a venue writes as text, decoded from bytes to bytes: a string of them could not be overwritten. */
import { secretBytes } from '../engine/hash/encoding.ts'

const INVALID = 255

const table = (alphabet: string, more: readonly (readonly [string, number])[] = []): Uint8Array => {
  const values = new Uint8Array(256).fill(INVALID)
  for (let at = 0; at < alphabet.length; at++) values[alphabet.charCodeAt(at)] = at
  for (const [letter, value] of more) values[letter.charCodeAt(0)] = value
  return values
}

const BASE64 = table('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', [['-', 62], ['_', 63]])
const HEX = table('0123456789abcdef', ['A', 'B', 'C', 'D', 'E', 'F'].map((letter, at) => [letter, 10 + at] as const))
const PAD = 0x3d

/** Base64 or base64url, padded or not; undefined for anything else. The caller wipes the answer. */
export const decodeBase64 = (text: Uint8Array): Uint8Array | undefined => {
  let length = text.length
  while (length > 0 && text.length - length < 2 && text[length - 1] === PAD) length -= 1
  if (length % 4 === 1) return undefined
  const out = secretBytes(Math.floor((length * 3) / 4))
  let bits = 0
  let held = 0
  let to = 0
  for (let at = 0; at < length; at++) {
    const value = BASE64[text[at] ?? 0] ?? INVALID
    if (value === INVALID) {
      out.fill(0)
      return undefined
    }
    held = ((held << 6) | value) & 0xffff
    bits += 6
    if (bits < 8) continue
    bits -= 8
    out[to++] = (held >> bits) & 0xff
  }
  return out
}

/** Hex digits with or without 0x; undefined for anything else. The caller wipes the answer. */
export const decodeHex = (text: Uint8Array): Uint8Array | undefined => {
  const start = text[0] === 0x30 && (text[1] === 0x78 || text[1] === 0x58) ? 2 : 0
  if ((text.length - start) % 2 !== 0) return undefined
  const out = secretBytes((text.length - start) / 2)
  for (let at = 0; at < out.length; at++) {
    const high = HEX[text[start + 2 * at] ?? 0] ?? INVALID
    const low = HEX[text[start + 2 * at + 1] ?? 0] ?? INVALID
    if (high === INVALID || low === INVALID) {
      out.fill(0)
      return undefined
    }
    out[at] = (high << 4) | low
  }
  return out
}
