import { parseEvmAddress } from './address.ts'
import { fromHex } from './bytes.ts'
import type { JsonValue } from './json.ts'
import { isJsonArray, isJsonNumber, isJsonObject } from './json.ts'
import type { Field, StructTypes, ValueType } from './typed-data-types.ts'
import { MAX_ARRAY_LENGTH, refuse } from './typed-data-types.ts'

/**
 * The value half of EIP-712 typed data: JSON to exact values, nothing coerced. Integers are bigints; bytes, bytesN
 * and addresses are bytes; structs are Maps in the order of their declaration.
 */
export type TypedValue = boolean | bigint | string | Uint8Array | readonly TypedValue[] | StructValue
export type StructValue = ReadonlyMap<string, TypedValue>

const JSON_INTEGER = /^(?:0|-?[1-9][0-9]*)$/
const DECIMAL = /^(?:0|-?[1-9][0-9]{0,77})$/
const HEX_QUANTITY = /^0x(?:0|[1-9a-fA-F][0-9a-fA-F]{0,63})$/

/**
 * An integer in one of three canonical forms: a JSON integer within ±(2^53 − 1), a decimal string, or a 0x string
 * without leading zeros. Fractions, exponents, `-0`, `+1`, leading zeros and padded hex are refused.
 */
const parseInteger = (value: JsonValue, type: { signed: boolean; bits: number }, path: string): bigint => {
  const text = isJsonNumber(value) ? value.numberText : value
  if (typeof text !== 'string') throw refuse(path, 'is not an integer')
  const canonical = isJsonNumber(value) ? JSON_INTEGER.test(text) : DECIMAL.test(text) || HEX_QUANTITY.test(text)
  if (!canonical) throw refuse(path, 'is not a canonical integer')
  if (isJsonNumber(value) && !Number.isSafeInteger(Number(text)))
    throw refuse(path, 'is too large for a JSON number; send it as a string')
  const integer = BigInt(text)
  const fits = type.signed ? BigInt.asIntN(type.bits, integer) : BigInt.asUintN(type.bits, integer)
  if (fits !== integer) throw refuse(path, `does not fit ${type.signed ? 'int' : 'uint'}${type.bits}`)
  return integer
}

const parseBytes = (value: JsonValue, path: string): Uint8Array => {
  const bytes = typeof value === 'string' ? fromHex(value) : undefined
  if (bytes === undefined) throw refuse(path, 'is not 0x and an even number of hex digits')
  return bytes
}

const parseFixedBytes = (value: JsonValue, size: number, path: string): Uint8Array => {
  const bytes = parseBytes(value, path)
  if (bytes.length !== size) throw refuse(path, `is not ${size} bytes long`)
  return bytes
}

const parseAddress = (value: JsonValue, path: string): Uint8Array => {
  const address = typeof value === 'string' ? parseEvmAddress(value) : undefined
  if (address === undefined) throw refuse(path, 'is not an address, or its checksum is wrong')
  return address
}

const parseArray = (
  value: JsonValue,
  type: { item: ValueType; length: number | undefined },
  types: StructTypes,
  path: string,
): readonly TypedValue[] => {
  if (!isJsonArray(value)) throw refuse(path, 'is not an array')
  if (value.length > MAX_ARRAY_LENGTH) throw refuse(path, `has more than ${MAX_ARRAY_LENGTH} items`)
  if (type.length !== undefined && value.length !== type.length) throw refuse(path, `has not ${type.length} items`)
  return value.map((item, index) => parseValue(item, type.item, types, `${path}[${index}]`))
}

const parseValue = (value: JsonValue, type: ValueType, types: StructTypes, path: string): TypedValue => {
  if (type.kind === 'struct') return parseStruct(value, types.get(type.name) ?? [], types, path)
  if (type.kind === 'array') return parseArray(value, type, types, path)
  if (type.kind === 'integer') return parseInteger(value, type, path)
  if (type.kind === 'fixed-bytes') return parseFixedBytes(value, type.size, path)
  if (type.kind === 'bytes') return parseBytes(value, path)
  if (type.kind === 'address') return parseAddress(value, path)
  if (typeof value !== (type.kind === 'bool' ? 'boolean' : 'string')) throw refuse(path, `is not a ${type.kind}`)
  return value as boolean | string
}

/**
 * A struct's value: exactly the declared fields, each of its type. Refuses (TYPED_DATA_INVALID, with the path)
 * fields that are missing, unknown or null, arrays of another length than declared or over 1024, and every value
 * that is not in the one form its type has.
 */
export const parseStruct = (
  value: JsonValue | undefined,
  fields: readonly Field[],
  types: StructTypes,
  path: string,
): StructValue => {
  if (!isJsonObject(value)) throw refuse(path, value === undefined ? 'is missing' : 'is not an object')
  const names = new Set(fields.map((field) => field.name))
  for (const key of value.keys()) if (!names.has(key)) throw refuse(`${path}.${key}`, 'is not a declared field')
  const parsed = new Map<string, TypedValue>()
  for (const { name, type } of fields) {
    const member = value.get(name)
    if (member === undefined) throw refuse(`${path}.${name}`, 'is missing')
    parsed.set(name, parseValue(member, type, types, `${path}.${name}`))
  }
  return parsed
}
