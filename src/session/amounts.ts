/** Decimal amounts as integers scaled by 10^18: nothing here is ever a float. */
const PLACES = 18
const DECIMAL = /^(0|[1-9][0-9]{0,29})(?:\.([0-9]{1,18}))?$/
const ONE = 10n ** 18n

/** Undefined for anything that is not a plain decimal of at most 18 places. */
export const parseE18 = (text: string): bigint | undefined => {
  const match = DECIMAL.exec(text)
  if (match === null) return undefined
  return BigInt(match[1] ?? '0') * ONE + BigInt((match[2] ?? '').padEnd(PLACES, '0'))
}

export const formatE18 = (value: bigint): string => {
  const digits = value.toString().padStart(PLACES + 1, '0')
  const fraction = digits.slice(-PLACES).replace(/0+$/, '')
  return fraction === '' ? digits.slice(0, -PLACES) : `${digits.slice(0, -PLACES)}.${fraction}`
}

/** Rounded up: a limit is never passed by a fraction. */
export const multiplyE18 = (a: bigint, b: bigint): bigint => (a * b + ONE - 1n) / ONE
