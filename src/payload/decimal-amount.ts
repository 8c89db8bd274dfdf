/** Amounts as people write them, and as chains count them. */
const DECIMAL = /^(\d{1,78})(?:\.(\d{1,77}))?$/

const MAX_UNITS = (1n << 256n) - 1n

export type AmountRefusal = 'malformed' | 'too precise' | 'too large'

/** `12.5` of a token with 6 decimals is 12 500 000. More digits than the token has are refused, not rounded, zeros included. */
export const parseDecimalAmount = (text: string, decimals: number): bigint | AmountRefusal => {
  const [, whole, fraction = ''] = DECIMAL.exec(text) ?? []
  if (whole === undefined) return 'malformed'
  if (fraction.length > decimals) return 'too precise'
  const units = BigInt(whole + fraction.padEnd(decimals, '0'))
  return units > MAX_UNITS ? 'too large' : units
}

/** The shortest text that is exactly so much. */
export const formatDecimalAmount = (units: bigint, decimals: number): string => {
  const digits = units.toString().padStart(decimals + 1, '0')
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, '')
  const whole = digits.slice(0, digits.length - decimals)
  return decimals === 0 || fraction === '' ? whole : `${whole}.${fraction}`
}
