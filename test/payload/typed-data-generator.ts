import * as fc from 'fast-check'
import { getAddress } from 'viem'

/**
 * Typed data that every encoder accepts: structs that use the structs after them, all reachable from the first,
 * with every kind of value and arrays of them. Integers come as numbers, decimal and hex strings.
 */
export type GeneratedTypedData = {
  types: Record<string, { name: string; type: string }[]>
  primaryType: string
  domain: Record<string, unknown>
  message: Record<string, unknown>
}

const STRUCT_NAMES = ['Order', 'a', 'Zed', '_Leg', 'Person9', 'Bytes']
const FIELD_NAMES = ['amount', 'to', 'x', '_y', 'data', 'Z1', 'constructor', 'toString']

const hexOf = (bytes: Uint8Array) => `0x${Buffer.from(bytes).toString('hex')}`
const fixedBytes = (size: number) => fc.uint8Array({ minLength: size, maxLength: size }).map(hexOf)

const address = fc
  .tuple(fixedBytes(20), fc.boolean())
  .map(([hex, checksummed]) => (checksummed ? getAddress(hex as `0x${string}`) : hex))

const integer = (signed: boolean, bits: number) => {
  const max = signed ? (1n << BigInt(bits - 1)) - 1n : (1n << BigInt(bits)) - 1n
  const min = signed ? -max - 1n : 0n
  const value = fc.oneof(fc.bigInt({ min, max }), fc.constantFrom(min, max, 0n, 1n))
  return fc.tuple(value, fc.nat(2)).map(([number, form]): unknown => {
    if (form === 0 && number <= BigInt(Number.MAX_SAFE_INTEGER) && number >= BigInt(Number.MIN_SAFE_INTEGER))
      return Number(number)
    return form === 1 && number >= 0n ? `0x${number.toString(16)}` : number.toString()
  })
}

const string = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 10 }),
)
const bytes = fc.uint8Array({ maxLength: 70 }).map(hexOf)

type Typed = { type: string; value: fc.Arbitrary<unknown> }

const atom: fc.Arbitrary<Typed> = fc.oneof(
  fc.record({ signed: fc.boolean(), eighths: fc.integer({ min: 1, max: 32 }) }).map(({ signed, eighths }) => ({
    type: `${signed ? '' : 'u'}int${eighths * 8}`,
    value: integer(signed, eighths * 8),
  })),
  fc.integer({ min: 1, max: 32 }).map((size) => ({ type: `bytes${size}`, value: fixedBytes(size) })),
  fc.constantFrom<Typed>(
    { type: 'address', value: address },
    { type: 'bool', value: fc.boolean() },
    { type: 'string', value: string },
    { type: 'bytes', value: bytes },
  ),
)

/** Two dimensions at most and short ones, so that a case stays far below the size limit. */
const arrayOf = ({ type, value }: Typed, length: number | undefined): Typed =>
  length === undefined
    ? { type: `${type}[]`, value: fc.array(value, { maxLength: 2 }) }
    : { type: `${type}[${length}]`, value: fc.array(value, { minLength: length, maxLength: length }) }

const dimensions = fc.array(fc.option(fc.integer({ min: 1, max: 2 }), { nil: undefined }), { maxLength: 2 })

const inArrays = (typed: Typed) => dimensions.map((lengths) => lengths.reduce(arrayOf, typed))

type Struct = {
  name: string
  fields: { name: string; type: string }[]
  value: fc.Arbitrary<Record<string, unknown>>
}

/** A struct over the structs made before it; the first of them is always used, so that all are reachable. */
const struct = (name: string, below: readonly Struct[]): fc.Arbitrary<Struct> => {
  const asType = ({ name: type, value }: Struct): Typed => ({ type, value })
  const [first] = below
  const member = fc
    .oneof({ arbitrary: atom, weight: 4 }, ...(below.length > 0 ? [fc.constantFrom(...below.map(asType))] : []))
    .chain(inArrays)
  const members = fc.tuple(
    fc.array(member, { minLength: first === undefined ? 1 : 0, maxLength: 3 }),
    first === undefined ? fc.constant([]) : inArrays(asType(first)).map((typed) => [typed]),
  )
  return fc
    .tuple(members, fc.shuffledSubarray(FIELD_NAMES, { minLength: 5, maxLength: 5 }))
    .map(([[some, forced], names]) => {
      const typed = [...forced, ...some].map((each, index) => ({ ...each, name: names[index] ?? 'last' }))
      return {
        name,
        fields: typed.map(({ name: field, type }) => ({ name: field, type })),
        value: fc.record(Object.fromEntries(typed.map(({ name: field, value }) => [field, value])), {
          noNullPrototype: true,
        }),
      }
    })
}

const structs = (names: readonly string[]): fc.Arbitrary<readonly Struct[]> =>
  names.reduceRight<fc.Arbitrary<readonly Struct[]>>(
    (rest, name) => rest.chain((below) => struct(name, below).map((made) => [made, ...below])),
    fc.constant([]),
  )

const domain = fc
  .record(
    {
      name: string,
      version: string,
      chainId: integer(false, 64),
      verifyingContract: address,
      salt: fixedBytes(32),
    },
    { requiredKeys: [], noNullPrototype: true },
  )
  .filter((each) => Object.keys(each).length > 0)

const DOMAIN_TYPES = {
  name: 'string',
  version: 'string',
  chainId: 'uint256',
  verifyingContract: 'address',
  salt: 'bytes32',
}

/** EIP712Domain as the domain has it, in EIP-712's order. */
export const domainFields = (of: Record<string, unknown>) =>
  Object.entries(DOMAIN_TYPES)
    .filter(([name]) => name in of)
    .map(([name, type]) => ({ name, type }))

export const typedData: fc.Arbitrary<GeneratedTypedData> = fc
  .shuffledSubarray(STRUCT_NAMES, { minLength: 1, maxLength: 4 })
  .chain(structs)
  .chain((made) => {
    const [primary] = made
    if (primary === undefined) throw new Error('no struct')
    return fc.record({
      types: fc.constant(Object.fromEntries(made.map(({ name, fields }) => [name, fields]))),
      primaryType: fc.constant(primary.name),
      domain,
      message: primary.value,
    })
  })
