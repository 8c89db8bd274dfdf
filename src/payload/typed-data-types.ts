import { failure } from '../domain/failure.ts'
import type { JsonObject, JsonValue } from './json.ts'
import { isJsonArray, isJsonObject } from './json.ts'

/** The type half of EIP-712 typed data: what may be declared, and the strings and limits that follow from it. */
export type AtomicType =
  | { readonly kind: 'address' | 'bool' | 'string' | 'bytes' }
  | { readonly kind: 'fixed-bytes'; readonly size: number }
  | { readonly kind: 'integer'; readonly signed: boolean; readonly bits: number }

export type ValueType =
  | AtomicType
  | { readonly kind: 'struct'; readonly name: string }
  /** `length` is undefined for a dynamic array. */
  | { readonly kind: 'array'; readonly item: ValueType; readonly length: number | undefined }

export type Field = { readonly name: string; readonly type: ValueType; readonly typeText: string }

export type StructTypes = ReadonlyMap<string, readonly Field[]>

export const MAX_ARRAY_LENGTH = 1024
export const MAX_DEPTH = 16
const MAX_TYPES = 128
const MAX_FIELDS = 256
/** All `encodeType` strings together: bounds the work that types which contain each other can make. */
const MAX_ENCODED_TYPES = 256 * 1024

const IDENTIFIER = /^[A-Za-z_$][\w$]*$/
/** An identifier, or several joined by colons: `HyperliquidTransaction:ApproveAgent`. No encoder reads colons otherwise. */
const TYPE_NAME = /^[A-Za-z_$][\w$]*(?::[A-Za-z_$][\w$]*)*$/
const TYPE_TEXT = /^(?<base>[^[\]]+)(?<dimensions>(?:\[(?:[1-9][0-9]{0,3})?\])*)$/
const INTEGER = /^(?<sign>u?)int(?<bits>[1-9][0-9]{0,2})$/
const FIXED_BYTES = /^bytes(?<size>[1-9][0-9]?)$/

/** Names that Solidity, or an encoder that keeps types in a plain object, takes for something else. */
const LIKE_A_BUILT_IN =
  /^(?:u?int\d*|bytes\d*|byte|address|bool|string|u?fixed(?:\d+x\d+)?|function|tuple|mapping|struct|enum)$/
const PROTOTYPE_NAMES: ReadonlySet<string> = new Set([
  ...Object.getOwnPropertyNames(Object.prototype),
  'prototype',
])

export const refuse = (path: string, why: string) =>
  failure('TYPED_DATA_INVALID', { path: path.length > 200 ? `${path.slice(0, 200)}…` : path, why })

const parseAtomicType = (text: string): AtomicType | undefined => {
  if (text === 'address' || text === 'bool' || text === 'string' || text === 'bytes') return { kind: text }
  const integer = INTEGER.exec(text)?.groups
  if (integer !== undefined) {
    const bits = Number(integer['bits'])
    return bits % 8 === 0 && bits <= 256 ? { kind: 'integer', signed: integer['sign'] === '', bits } : undefined
  }
  const size = Number(FIXED_BYTES.exec(text)?.groups?.['size'] ?? 0)
  return size >= 1 && size <= 32 ? { kind: 'fixed-bytes', size } : undefined
}

const parseValueType = (text: string, names: ReadonlySet<string>, path: string): ValueType => {
  const match = TYPE_TEXT.exec(text)?.groups
  if (match === undefined) throw refuse(path, 'is not a type')
  const base = match['base'] ?? ''
  const atomic = parseAtomicType(base)
  if (atomic === undefined && !names.has(base)) throw refuse(path, 'names a type that is not declared')
  let type: ValueType = atomic ?? { kind: 'struct', name: base }
  for (const dimension of (match['dimensions'] ?? '').matchAll(/\[(\d*)\]/g)) {
    const length = dimension[1] === '' ? undefined : Number(dimension[1])
    if (length !== undefined && length > MAX_ARRAY_LENGTH) throw refuse(path, 'is an array type that is too long')
    type = { kind: 'array', item: type, length }
  }
  return type
}

const checkTypeName = (name: string, path: string): void => {
  if (!TYPE_NAME.test(name)) throw refuse(path, 'is not an identifier')
  if (LIKE_A_BUILT_IN.test(name)) throw refuse(path, 'has the name of a built-in type')
  if (PROTOTYPE_NAMES.has(name)) throw refuse(path, 'has a reserved name')
}

const fieldText = (field: JsonObject, key: string, path: string): string => {
  const text = field.get(key)
  if (typeof text !== 'string') throw refuse(`${path}.${key}`, 'is not a string')
  return text
}

/** The fields of one struct, in the order declared. */
const parseFields = (value: JsonValue, names: ReadonlySet<string>, path: string): readonly Field[] => {
  if (!isJsonArray(value)) throw refuse(path, 'is not a list of fields')
  if (value.length > MAX_FIELDS) throw refuse(path, `has more than ${MAX_FIELDS} fields`)
  const seen = new Set<string>()
  return value.map((member, index) => {
    const at = `${path}[${index}]`
    if (!isJsonObject(member)) throw refuse(at, 'is not an object')
    for (const key of member.keys())
      if (key !== 'name' && key !== 'type') throw refuse(at, 'has an unknown member')
    const name = fieldText(member, 'name', at)
    if (!IDENTIFIER.test(name) || name === '__proto__') throw refuse(`${at}.name`, 'is not an identifier')
    if (seen.has(name)) throw refuse(`${at}.name`, 'is declared twice')
    seen.add(name)
    const typeText = fieldText(member, 'type', at)
    return { name, typeText, type: parseValueType(typeText, names, `${at}.type`) }
  })
}

/** The struct a type leads to through its arrays, and how many arrays there are on the way. */
const innermost = (type: ValueType): { readonly struct: string | undefined; readonly arrays: number } => {
  let inner = type
  let arrays = 0
  while (inner.kind === 'array') {
    inner = inner.item
    arrays += 1
  }
  return { struct: inner.kind === 'struct' ? inner.name : undefined, arrays }
}

/**
 * Every struct with the structs below it. A struct that contains itself is refused: encoders disagree about it
 * (ethers refuses, others encode an absent value as zero), and no contract can hold one as a value. Refuses depth
 * over 16.
 */
const findDependencies = (types: StructTypes): ReadonlyMap<string, ReadonlySet<string>> => {
  const found = new Map<string, { readonly below: ReadonlySet<string>; readonly height: number }>()
  const open = new Set<string>()
  const visit = (name: string) => {
    const known = found.get(name)
    if (known !== undefined) return known
    if (open.has(name)) throw refuse(`types.${name}`, 'contains itself')
    open.add(name)
    const below = new Set<string>()
    let height = 1
    for (const { type } of types.get(name) ?? []) {
      const { struct, arrays } = innermost(type)
      if (arrays >= MAX_DEPTH) throw refuse(`types.${name}`, `is nested deeper than ${MAX_DEPTH}`)
      if (struct === undefined) {
        height = Math.max(height, 1 + arrays)
        continue
      }
      const inner = visit(struct)
      for (const dependency of inner.below) below.add(dependency)
      below.add(struct)
      height = Math.max(height, 1 + arrays + inner.height)
    }
    if (height > MAX_DEPTH) throw refuse(`types.${name}`, `is nested deeper than ${MAX_DEPTH}`)
    open.delete(name)
    const entry = { below, height }
    found.set(name, entry)
    return entry
  }
  return new Map([...types.keys()].map((name) => [name, visit(name).below]))
}

const declaration = (name: string, fields: readonly Field[]): string =>
  `${name}(${fields.map((field) => `${field.typeText} ${field.name}`).join(',')})`

/** EIP-712 `encodeType`: the struct itself, then the structs it uses, sorted by name in code unit order. */
const encodeTypes = (types: StructTypes): ReadonlyMap<string, string> => {
  const declared = new Map([...types].map(([name, fields]) => [name, declaration(name, fields)]))
  const encoded = new Map<string, string>()
  let total = 0
  for (const [name, below] of findDependencies(types)) {
    const text = [name, ...[...below].sort()].map((each) => declared.get(each)).join('')
    total += text.length
    if (total > MAX_ENCODED_TYPES) throw refuse('types', 'are too large')
    encoded.set(name, text)
  }
  return encoded
}

export type ParsedTypes = {
  /** Every struct but EIP712Domain. */
  readonly structs: StructTypes
  /** What was declared for EIP712Domain, if anything. */
  readonly declaredDomain: readonly Field[] | undefined
  readonly encodeType: ReadonlyMap<string, string>
}

/**
 * The `types` member. Refuses (TYPED_DATA_INVALID) more than 128 types or 256 fields; names that are no
 * identifiers, look like built-ins or live on Object.prototype; fields declared twice; types not declared, aliases
 * (`uint`), sizes out of range; structs that contain themselves; nesting over 16; types too large together.
 * EIP712Domain may be declared, and may not be used by another type.
 */
export const parseTypes = (value: JsonValue | undefined): ParsedTypes => {
  if (!isJsonObject(value)) throw refuse('types', 'is not an object')
  if (value.size > MAX_TYPES) throw refuse('types', `has more than ${MAX_TYPES} types`)
  for (const name of value.keys()) checkTypeName(name, 'types')
  const names = new Set(value.keys())
  names.delete('EIP712Domain')
  const structs = new Map<string, readonly Field[]>()
  for (const name of names) structs.set(name, parseFields(value.get(name) ?? null, names, `types.${name}`))
  const domain = value.get('EIP712Domain')
  const declaredDomain = domain === undefined ? undefined : parseFields(domain, names, 'types.EIP712Domain')
  return { structs, declaredDomain, encodeType: encodeTypes(structs) }
}
