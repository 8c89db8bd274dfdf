import { bigintToWord, concatBytes } from './bytes.ts'
import type { JsonObject, JsonValue } from './json.ts'
import { isJsonObject, JsonRefused, parseJson } from './json.ts'
import { keccak256 } from './keccak.ts'
import type { Field, ParsedTypes, ValueType } from './typed-data-types.ts'
import { parseTypes, refuse } from './typed-data-types.ts'
import type { StructValue, TypedValue } from './typed-data-values.ts'
import { parseStruct } from './typed-data-values.ts'

/**
 * EIP-712, strictly: what is signed is what was sent, or it is refused. The encoder is our own because the
 * libraries do not bound the work hostile types can make (they hash a type again for every value of it) and differ
 * on names with `$`; the tests hold it to viem's and ethers' digests.
 */
export type TypedData = {
  readonly types: ParsedTypes
  readonly primaryType: string
  readonly domainFields: readonly Field[]
  readonly domain: StructValue
  readonly message: StructValue
}

export const MAX_TYPED_DATA_BYTES = 64 * 1024

/** The fields EIP-712 knows, in the order it gives them. */
const DOMAIN_FIELDS: readonly Field[] = [
  { name: 'name', typeText: 'string', type: { kind: 'string' } },
  { name: 'version', typeText: 'string', type: { kind: 'string' } },
  { name: 'chainId', typeText: 'uint256', type: { kind: 'integer', signed: false, bits: 256 } },
  { name: 'verifyingContract', typeText: 'address', type: { kind: 'address' } },
  { name: 'salt', typeText: 'bytes32', type: { kind: 'fixed-bytes', size: 32 } },
]

const MEMBERS = ['types', 'primaryType', 'domain', 'message'] as const

const parseDocument = (json: Uint8Array): JsonObject => {
  let document: JsonValue
  try {
    document = parseJson(json)
  } catch (error) {
    if (error instanceof JsonRefused) throw refuse('$', error.why)
    throw error
  }
  if (!isJsonObject(document)) throw refuse('$', 'is not an object')
  for (const key of document.keys())
    if (!MEMBERS.some((member) => member === key)) throw refuse(`$.${key}`, 'is not a member of typed data')
  return document
}

/**
 * The fields of the domain separator: those of EIP-712 that the domain has. A declared EIP712Domain must be
 * exactly these, in this order: encoders differ on everything else. A domain without fields would be valid
 * everywhere.
 */
const deriveDomainFields = (domain: JsonValue | undefined, declared: readonly Field[] | undefined) => {
  if (!isJsonObject(domain)) throw refuse('domain', domain === undefined ? 'is missing' : 'is not an object')
  const fields = DOMAIN_FIELDS.filter((field) => domain.has(field.name))
  if (fields.length === 0) throw refuse('domain', 'has none of the fields of EIP712Domain')
  const text = (list: readonly Field[]) => list.map((field) => `${field.typeText} ${field.name}`).join(',')
  if (declared !== undefined && text(declared) !== text(fields))
    throw refuse('types.EIP712Domain', `is not what the domain has, (${text(fields)})`)
  return fields
}

/**
 * Typed data from the JSON bytes a caller sent (`eth_signTypedData_v4`): the members `types`, `primaryType`,
 * `domain` and `message`, and no others. EIP712Domain may be left out of `types`; it then follows from the domain.
 * Types that the message does not use are allowed, and held to the same rules.
 *
 * Refuses (TYPED_DATA_INVALID with path and reason): more than 64 KiB; what `parseJson`, `parseTypes` and
 * `parseStruct` refuse; a primaryType that is absent, not declared or EIP712Domain; a domain that is empty, has
 * other fields than EIP-712's, or differs from the declared EIP712Domain. Work is bounded by the size.
 */
export const parseTypedData = (json: Uint8Array): TypedData => {
  if (json.length > MAX_TYPED_DATA_BYTES) throw refuse('$', `is larger than ${MAX_TYPED_DATA_BYTES} bytes`)
  const document = parseDocument(json)
  const types = parseTypes(document.get('types'))
  const primaryType = document.get('primaryType')
  if (typeof primaryType !== 'string') throw refuse('primaryType', 'is missing or not a string')
  if (primaryType === 'EIP712Domain') throw refuse('primaryType', 'may not be EIP712Domain')
  const fields = types.structs.get(primaryType)
  if (fields === undefined) throw refuse('primaryType', 'is not declared')
  const domainFields = deriveDomainFields(document.get('domain'), types.declaredDomain)
  const domain = parseStruct(document.get('domain'), domainFields, types.structs, 'domain')
  const message = parseStruct(document.get('message'), fields, types.structs, 'message')
  return { types, primaryType, domainFields, domain, message }
}

const padLeft = (bytes: Uint8Array): Uint8Array => concatBytes(new Uint8Array(32 - bytes.length), bytes)
const padRight = (bytes: Uint8Array): Uint8Array => concatBytes(bytes, new Uint8Array(32 - bytes.length))

type HashStruct = (name: string, value: StructValue) => Uint8Array

const EMPTY_HASH = keccak256(new Uint8Array())
const hashBytes = (bytes: Uint8Array): Uint8Array => (bytes.length === 0 ? EMPTY_HASH : keccak256(bytes))

/** EIP-712 `encodeData` of one value: one 32-byte word. */
const encodeValue = (value: TypedValue, type: ValueType, hashStruct: HashStruct): Uint8Array => {
  switch (type.kind) {
    case 'struct':
      return hashStruct(type.name, value as StructValue)
    case 'array':
      return hashBytes(
        concatBytes(...(value as TypedValue[]).map((item) => encodeValue(item, type.item, hashStruct))),
      )
    case 'string':
      return hashBytes(Buffer.from(value as string, 'utf8'))
    case 'bytes':
      return hashBytes(value as Uint8Array)
    case 'bool':
      return bigintToWord(value === true ? 1n : 0n)
    case 'integer':
      return bigintToWord(value as bigint)
    case 'address':
      return padLeft(value as Uint8Array)
    default:
      return padRight(value as Uint8Array)
  }
}

const encodeFields = (
  typeHash: Uint8Array,
  fields: readonly Field[],
  value: StructValue,
  hashStruct: HashStruct,
) => {
  const words = fields.map(({ name, type }) => {
    const member = value.get(name)
    if (member === undefined) throw new Error('assertion: a parsed struct has all its fields')
    return encodeValue(member, type, hashStruct)
  })
  return keccak256(concatBytes(typeHash, ...words))
}

/**
 * The EIP-712 digest: keccak256(0x1901 ‖ hashStruct(domain) ‖ hashStruct(message)), 32 bytes. Each type is hashed
 * once, however often it is used.
 */
export const hashTypedData = ({ types, primaryType, domainFields, domain, message }: TypedData): Uint8Array => {
  const typeHashes = new Map<string, Uint8Array>()
  const hashType = (name: string): Uint8Array => {
    const hash = typeHashes.get(name) ?? keccak256(Buffer.from(types.encodeType.get(name) ?? '', 'utf8'))
    typeHashes.set(name, hash)
    return hash
  }
  const hashStruct: HashStruct = (name, value) =>
    encodeFields(hashType(name), types.structs.get(name) ?? [], value, hashStruct)
  const domainType = `EIP712Domain(${domainFields.map((field) => `${field.typeText} ${field.name}`).join(',')})`
  const separator = encodeFields(keccak256(Buffer.from(domainType, 'utf8')), domainFields, domain, hashStruct)
  return keccak256(concatBytes(Uint8Array.of(0x19, 0x01), separator, hashStruct(primaryType, message)))
}
