const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

/**
 * Base58 in Bitcoin's alphabet, without checksum, as Solana writes keys and signatures. Undefined for other characters
 * and for more than 128 of them (the work is quadratic).
 */
export const decodeBase58 = (text: string): Uint8Array | undefined => {
  if (text.length > 128) return undefined
  let value = 0n
  for (const character of text) {
    const digit = ALPHABET.indexOf(character)
    if (digit < 0) return undefined
    value = value * 58n + BigInt(digit)
  }
  const zeros = /^1*/.exec(text)?.[0].length ?? 0
  const digits = value === 0n ? '' : value.toString(16)
  const body = Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex')
  const bytes = new Uint8Array(zeros + body.length)
  bytes.set(body, zeros)
  return bytes
}
