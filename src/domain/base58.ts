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

/** Nine digits fit a double exactly, so most of the work is done outside BigInt. */
const CHUNK_DIGITS = 9
const CHUNK = 58n ** BigInt(CHUNK_DIGITS)

const chunkDigits = (chunk: number): string => {
  let digits = ''
  for (let rest = chunk, at = 0; at < CHUNK_DIGITS; at++, rest = Math.floor(rest / 58))
    digits = `${ALPHABET[rest % 58]}${digits}`
  return digits
}

/** The one base58 text of some bytes, which `decodeBase58` inverts. For keys and signatures: the work is quadratic. */
export const encodeBase58 = (bytes: Uint8Array): string => {
  const zeros = bytes.findIndex((byte) => byte !== 0)
  if (zeros < 0) return '1'.repeat(bytes.length)
  let digits = ''
  for (let rest = BigInt(`0x${Buffer.from(bytes).toString('hex')}`); rest > 0n; rest /= CHUNK)
    digits = chunkDigits(Number(rest % CHUNK)) + digits
  return '1'.repeat(zeros) + digits.replace(/^1+/, '')
}
