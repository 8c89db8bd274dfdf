import { OperatorRefused } from './profile-fault.ts'

/** Decimal texts and scaled integers. Exact: no floating point, and nothing is rounded unless it says so. */

const DECIMAL = /^-?[0-9]{1,60}(?:\.[0-9]{1,60})?$/

const split = (operator: string, text: string) => {
  if (!DECIMAL.test(text)) throw new OperatorRefused(operator, 'takes a decimal number')
  const negative = text.startsWith('-')
  const point = text.indexOf('.')
  const whole = text.slice(negative ? 1 : 0, point < 0 ? undefined : point)
  return { negative, whole, fraction: point < 0 ? '' : text.slice(point + 1) }
}

export type Precision = 'exact' | 'truncate' | 'up'

/** text × 10^places. What does not fit is refused (`exact`), cut off (`truncate`) or rounded away from zero (`up`). */
export const scaleDecimal = (text: string, places: number, precision: Precision): bigint => {
  const { negative, whole, fraction } = split('scale', text)
  const kept = fraction.slice(0, places)
  const lost = fraction.length > places && /[1-9]/.test(fraction.slice(places))
  if (lost && precision === 'exact') throw new OperatorRefused('scale', `${text} has more than ${places} decimal places`)
  const scaled = BigInt(whole + kept.padEnd(places, '0')) + (lost && precision === 'up' ? 1n : 0n)
  return negative ? -scaled : scaled
}

/** value ÷ 10^places as a decimal text without superfluous zeros. */
export const unscaleDecimal = (value: bigint, places: number): string => {
  const digits = (value < 0n ? -value : value).toString().padStart(places + 1, '0')
  const whole = digits.slice(0, digits.length - places)
  const fraction = digits.slice(digits.length - places).replace(/0+$/, '')
  return `${value < 0n ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`
}

/** a ÷ b as a decimal text of `places` places, rounded up; neither may be negative. */
export const ratioDecimal = (a: bigint, b: bigint, places: number): string => {
  if (b <= 0n || a < 0n) throw new OperatorRefused('ratio', 'takes a share of a positive whole')
  return unscaleDecimal((a * 10n ** BigInt(places) + b - 1n) / b, places)
}
