import { parseEvmAddress } from '../address.ts'
import { keccak256 } from '../keccak.ts'
import type { JsonObject, JsonValue } from '../json.ts'
import type { Field, ParsedTypes, ValueType } from '../typed-data-types.ts'
import { parseTypes } from '../typed-data-types.ts'
import { OperatorRefused, ProfileFault } from './profile-fault.ts'
import type { TypeLists } from './profile.ts'
import type { Value } from './value.ts'
import type { ValueObject } from './values.ts'
import { takeBigint, takeBytes, takeList, takeObject, takeText, writeJson } from './values.ts'

/**
 * EIP-712 for types that are known beforehand: they are parsed and hashed once, and a value costs one pass over a
 * buffer that is used again. The same digests as typed-data.ts makes of the same document; a test holds them together.
 */
export type TypedPlan = {
  readonly hashStruct: (message: Value) => Uint8Array
  /** The members `types` (without EIP712Domain) and `message` as typed data JSON has them. */
  readonly typesJson: string
  readonly messageJson: (message: Value) => string
}

const refuse = (why: string) => new OperatorRefused('typed data', why)

/** Writes one 32-byte word of a struct. */
type WordWriter = (value: Value, buffer: Buffer, at: number) => void

const U64 = (1n << 64n) - 1n

const writeInteger = (integer: bigint, buffer: Buffer, at: number): void => {
  if (integer >= 0n && integer <= U64) {
    buffer.fill(0, at, at + 24)
    buffer.writeBigUInt64BE(integer, at + 24)
    return
  }
  for (let word = at + 24, rest = integer; word >= at; word -= 8, rest >>= 64n)
    buffer.writeBigUInt64BE(BigInt.asUintN(64, rest), word)
}

const integerWriter = (signed: boolean, bits: number): WordWriter => (value, buffer, at) => {
  const integer = takeBigint('typed data', value)
  const fits = signed ? BigInt.asIntN(bits, integer) : BigInt.asUintN(bits, integer)
  if (fits !== integer) throw refuse(`${integer} does not fit ${signed ? 'int' : 'uint'}${bits}`)
  writeInteger(integer, buffer, at)
}

const fixedWriter = (size: number, left: number): WordWriter => (value, buffer, at) => {
  const bytes = takeBytes('typed data', value)
  if (bytes.length !== size) throw refuse(`takes ${size} bytes, not ${bytes.length}`)
  buffer.fill(0, at, at + 32)
  buffer.set(bytes, at + left)
}

const hashedWriter = (bytesOf: (value: Value) => Uint8Array): WordWriter => (value, buffer, at) => {
  buffer.set(keccak256(bytesOf(value)), at)
}

const KNOWN_TEXTS = 256
const KNOWN_TEXT_LENGTH = 32
const knownTexts = new Map<string, Uint8Array>()

/** The hash of a text. Short ones are the same again and again: the names of networks and sides. */
const hashText = (text: string): Uint8Array => {
  const known = knownTexts.get(text)
  if (known !== undefined) return known
  const hash = keccak256(Buffer.from(text, 'utf8'))
  if (knownTexts.size < KNOWN_TEXTS && text.length <= KNOWN_TEXT_LENGTH) knownTexts.set(text, hash)
  return hash
}

const writeText: WordWriter = (value, buffer, at) => {
  buffer.set(hashText(takeText('typed data', value)), at)
}

type StructHasher = (value: Value) => Uint8Array

const compileWord = (type: ValueType, structOf: (name: string) => StructHasher): WordWriter => {
  switch (type.kind) {
    case 'integer':
      return integerWriter(type.signed, type.bits)
    case 'fixed-bytes':
      return fixedWriter(type.size, 0)
    case 'address':
      return fixedWriter(20, 12)
    case 'bool':
      return (value, buffer, at) => {
        if (typeof value !== 'boolean') throw refuse('takes true or false')
        buffer.fill(0, at, at + 32)
        buffer[at + 31] = value ? 1 : 0
      }
    case 'string':
      return writeText
    case 'bytes':
      return hashedWriter((value) => takeBytes('typed data', value))
    case 'struct': {
      const hash = structOf(type.name)
      return (value, buffer, at) => {
        buffer.set(hash(value), at)
      }
    }
    default:
      return compileArray(type.item, type.length, structOf)
  }
}

type StructOf = (name: string) => StructHasher

const compileArray = (item: ValueType, length: number | undefined, structOf: StructOf): WordWriter => {
  const write = compileWord(item, structOf)
  return hashedWriter((value) => {
    const items = takeList('typed data', value)
    if (length !== undefined && items.length !== length) throw refuse(`takes ${length} items`)
    const buffer = Buffer.alloc(32 * items.length)
    for (const [index, each] of items.entries()) write(each, buffer, 32 * index)
    return buffer
  })
}

const compileStruct = (name: string, types: ParsedTypes, structOf: StructOf): StructHasher => {
  const declared = types.structs.get(name) ?? []
  const fields = declared.map((field) => ({ name: field.name, write: compileWord(field.type, structOf) }))
  const buffer = Buffer.alloc(32 * (fields.length + 1))
  buffer.set(keccak256(Buffer.from(types.encodeType.get(name) ?? '', 'utf8')), 0)
  return (value) => {
    const struct = takeObject('typed data', value)
    let at = 32
    for (const field of fields) {
      const member = struct[field.name]
      if (member === undefined) throw refuse(`${name} lacks ${field.name}`)
      field.write(member, buffer, at)
      at += 32
    }
    return keccak256(buffer)
  }
}

const compileStructs = (types: ParsedTypes): ((name: string) => StructHasher) => {
  const compiled = new Map<string, StructHasher>()
  const structOf = (name: string): StructHasher => {
    const known = compiled.get(name)
    if (known !== undefined) return known
    // No struct contains itself: parseTypes has seen to it.
    const hasher = compileStruct(name, types, structOf)
    compiled.set(name, hasher)
    return hasher
  }
  return structOf
}

const fieldsOf = (list: string): readonly { readonly name: string; readonly type: string }[] =>
  list.split(',').map((field) => {
    const [type = '', name = '', ...rest] = field.trim().split(' ')
    if (type === '' || name === '' || rest.length > 0) throw new ProfileFault(`${field} is no field`)
    return { name, type }
  })

const parseLists = (lists: TypeLists): ParsedTypes => {
  const asJson = (fields: ReturnType<typeof fieldsOf>): JsonValue =>
    fields.map(({ name, type }): JsonObject => new Map([['name', name], ['type', type]]))
  return parseTypes(new Map(Object.entries(lists).map(([name, list]) => [name, asJson(fieldsOf(list))])))
}

/** The value of one field as typed data JSON has it. */
const fieldJson = (value: Value, type: ValueType, types: ParsedTypes): Value => {
  if (type.kind === 'struct')
    return structJson(takeObject('typed data', value), types.structs.get(type.name) ?? [], types)
  if (type.kind === 'array') return takeList('typed data', value).map((item) => fieldJson(item, type.item, types))
  if (type.kind === 'integer') return takeBigint('typed data', value).toString()
  if (value instanceof Uint8Array) return `0x${Buffer.from(value).toString('hex')}`
  return value
}

const structJson = (value: ValueObject, fields: readonly Field[], types: ParsedTypes): ValueObject =>
  Object.fromEntries(fields.map(({ name, type }) => [name, fieldJson(value[name], type, types)]))

/** Throws `ProfileFault`, or `Failure` (TYPED_DATA_INVALID), for types that typed data would not take. */
export const compileTypedPlan = (lists: TypeLists, primaryType: string): TypedPlan => {
  const types = parseLists(lists)
  const fields = types.structs.get(primaryType)
  if (fields === undefined) throw new ProfileFault(`${primaryType} is not declared`)
  const typesJson = writeJson(Object.fromEntries(Object.entries(lists).map(([name, list]) => [name, fieldsOf(list)])))
  return {
    hashStruct: compileStructs(types)(primaryType),
    typesJson,
    messageJson: (message) => writeJson(structJson(takeObject('typed data', message), fields, types)),
  }
}

const DOMAIN_TYPES: readonly (readonly [name: string, type: string])[] = [
  ['name', 'string'],
  ['version', 'string'],
  ['chainId', 'uint256'],
  ['verifyingContract', 'address'],
  ['salt', 'bytes32'],
]

/** At most one for each choice of fields. */
const domainHashers = new Map<string, StructHasher>()

const compileDomain = (list: string): StructHasher => {
  const { structs } = parseLists({ Domain: list })
  const encodeType = new Map([['Domain', `EIP712Domain(${list})`]])
  return compileStructs({ structs, encodeType, declaredDomain: undefined })('Domain')
}

const domainFieldsOf = (domain: ValueObject): string => {
  const unknown = Object.keys(domain).find((name) => !DOMAIN_TYPES.some(([known]) => known === name))
  if (unknown !== undefined) throw refuse(`a domain has no ${unknown}`)
  const present = DOMAIN_TYPES.filter(([name]) => domain[name] !== undefined)
  if (present.length === 0) throw refuse('a domain without fields')
  return present.map(([name, type]) => `${type} ${name}`).join(',')
}

/** The domain separator. The type has the fields that are present, in EIP-712's order: zero is present. */
export const hashDomain = (value: Value): Uint8Array => {
  const domain = takeObject('typed data', value)
  const list = domainFieldsOf(domain)
  const hash = domainHashers.get(list) ?? compileDomain(list)
  domainHashers.set(list, hash)
  return hash(domain)
}

/** The whole document, for `eth_signTypedData_v4` and for signers that derive the digest themselves. */
export const writeTypedData = (plan: TypedPlan, primaryType: string, domainValue: Value, message: Value): string => {
  const domain = takeObject('typed data', domainValue)
  const list = fieldsOf(domainFieldsOf(domain))
  const domainJson = list.map(({ name, type }): [string, Value] => {
    const value = domain[name]
    if (type === 'address' && parseEvmAddress(takeText('typed data', value)) === undefined) throw refuse('an address')
    return [name, type === 'uint256' ? takeBigint('typed data', value) : value]
  })
  const types = `{"EIP712Domain":${writeJson(list)},${plan.typesJson.slice(1)}`
  const members = [
    `"types":${types}`,
    `"primaryType":${JSON.stringify(primaryType)}`,
    `"domain":${writeJson(Object.fromEntries(domainJson))}`,
    `"message":${plan.messageJson(message)}`,
  ]
  return `{${members.join(',')}}`
}
