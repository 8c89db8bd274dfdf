import { OperatorRefused } from './profile-fault.ts'
import type { Value } from './value.ts'

/** What operators take: each of these refuses (`OperatorRefused`) a value of another kind, and coerces nothing else. */

const HEX = /^0x(?:[0-9a-fA-F]{2})*$/
const INTEGER = /^(?:0|-?[1-9][0-9]{0,77})$/

const nameOf = (value: Value): string => (value instanceof Uint8Array ? 'bytes' : value === null ? 'null' : typeof value)

export const wrongKind = (operator: string, wanted: string, value: Value): OperatorRefused =>
  new OperatorRefused(operator, `takes ${wanted}, not ${nameOf(value)}`)

/** Bytes, or the bytes behind a 0x text. */
export const takeBytes = (operator: string, value: Value): Uint8Array => {
  if (value instanceof Uint8Array) return value
  if (typeof value === 'string' && HEX.test(value)) return Buffer.from(value.slice(2), 'hex')
  throw wrongKind(operator, 'bytes or 0x hex', value)
}

export const takeText = (operator: string, value: Value): string => {
  if (typeof value === 'string') return value
  throw wrongKind(operator, 'text', value)
}

/** An integer, or the decimal text of one. */
export const takeBigint = (operator: string, value: Value): bigint => {
  if (typeof value === 'bigint') return value
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value)
  if (typeof value === 'string' && INTEGER.test(value)) return BigInt(value)
  throw wrongKind(operator, 'an integer', value)
}

export const takeList = (operator: string, value: Value): readonly Value[] => {
  if (Array.isArray(value)) return value as readonly Value[]
  throw wrongKind(operator, 'a list', value)
}

export type ValueObject = { readonly [name: string]: Value }

export const isValueObject = (value: Value): value is ValueObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)

export const takeObject = (operator: string, value: Value): ValueObject => {
  if (isValueObject(value)) return value
  throw wrongKind(operator, 'an object', value)
}

/** Text, or what has one plain text: an integer, true or false. */
export const takeScalarText = (operator: string, value: Value): string => {
  if (typeof value === 'string') return value
  if (typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  if (typeof value === 'number' && Number.isSafeInteger(value)) return String(value)
  throw wrongKind(operator, 'text, an integer or a boolean', value)
}

/** Text that is its own JSON between quotes; most of what is signed. */
const PLAIN = /^[\w.:/+ =-]*$/

const quote = (text: string): string => (PLAIN.test(text) ? `"${text}"` : JSON.stringify(text))

/**
 * JSON of a value, members in their order, absent ones left out. Integers are written as digits whatever their size;
 * bytes have no JSON form and are refused.
 */
export const writeJson = (value: Value): string => {
  if (typeof value === 'string') return quote(value)
  if (typeof value === 'boolean' || value === null || typeof value === 'bigint') return String(value)
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new OperatorRefused('json', 'takes integers only')
    return String(value)
  }
  if (Array.isArray(value)) return `[${(value as readonly Value[]).map(writeJson).join(',')}]`
  if (!isValueObject(value)) throw wrongKind('json', 'plain data', value)
  let text = ''
  for (const name in value) {
    const member = value[name]
    if (member !== undefined) text += `${text === '' ? '' : ','}${quote(name)}:${writeJson(member)}`
  }
  return `{${text}}`
}
