import { createHmac } from 'node:crypto'
import { encodeBase58 } from '../../domain/base58.ts'
import { bigintToWord, concatBytes, toHex } from '../bytes.ts'
import { keccak256 } from '../keccak.ts'
import { checksumAddress, compileAbi, compileCall } from './abi.ts'
import type { Precision } from './decimals.ts'
import { ratioDecimal, scaleDecimal, unscaleDecimal } from './decimals.ts'
import type { Expression } from './expression.ts'
import { encodeMessagePack } from './message-pack.ts'
import { OperatorRefused, ProfileFault } from './profile-fault.ts'
import type { TypeLists } from './profile.ts'
import { compileTypedPlan, hashDomain } from './typed-plan.ts'
import type { Value } from './value.ts'
import {
  isValueObject,
  takeBigint,
  takeBytes,
  takeList,
  takeObject,
  takeScalarText,
  takeText,
  writeJson,
  wrongKind,
} from './values.ts'

/**
 * The closed set of operators. Each is a pure function of its arguments, bounded by them, and refuses
 * (`OperatorRefused`) what it does not take. `literals` are the leading arguments that are part of the profile and not
 * computed: they are compiled with it. `@when` and `@each` decide what is computed, so they live in compile.ts.
 */
export type Operator = {
  readonly literals: number
  /** How many computed arguments there may be. */
  readonly arity: readonly [min: number, max: number]
  readonly compile: (literals: readonly Expression[]) => (values: readonly Value[]) => Value
}

const MANY = 32

const pure = (arity: readonly [number, number], apply: (...values: Value[]) => Value): Operator => ({
  literals: 0,
  arity,
  compile: () => (values) => apply(...values),
})

const literalText = (literal: Expression | undefined): string => {
  if (typeof literal !== 'string') throw new ProfileFault('an operator lacks its literal text')
  return literal
}

const literalCount = (literal: Expression | undefined, max: number): number => {
  if (typeof literal !== 'number' || !Number.isInteger(literal) || literal < 0 || literal > max)
    throw new ProfileFault('an operator lacks its literal number')
  return literal
}

const literalTable = (literal: Expression | undefined): ReadonlyMap<string, string | number> => {
  if (typeof literal !== 'object' || literal === null || Array.isArray(literal))
    throw new ProfileFault('@map lacks its table')
  return new Map(
    Object.entries(literal).map(([from, to]) => {
      if (typeof to !== 'string' && typeof to !== 'number') throw new ProfileFault('@map takes texts and numbers')
      return [from, to]
    }),
  )
}

const withLiteral = (
  literals: number,
  arity: readonly [number, number],
  compile: (literals: readonly Expression[]) => (...values: Value[]) => Value,
): Operator => ({
  literals,
  arity,
  compile: (given) => {
    const apply = compile(given)
    return (values) => apply(...values)
  },
})

/** A big-endian unsigned integer of so many bytes. */
const fixedBytes = (size: number, value: Value): Uint8Array => {
  const integer = takeBigint('u', value)
  if (integer < 0n || integer >> BigInt(8 * size) !== 0n)
    throw new OperatorRefused('u', `${integer} does not fit ${size} bytes`)
  return bigintToWord(integer).subarray(32 - size)
}

const pad = (operator: string, size: number, value: Value, left: boolean): Uint8Array => {
  const bytes = takeBytes(operator, value)
  if (bytes.length > size) throw new OperatorRefused(operator, `${bytes.length} bytes are more than ${size}`)
  const padded = new Uint8Array(size)
  padded.set(bytes, left ? size - bytes.length : 0)
  return padded
}

const base64 = (value: Value, encoding: 'base64' | 'base64url', padded: boolean): string => {
  const text = Buffer.from(takeBytes('b64', value)).toString(encoding)
  return padded ? text.padEnd(Math.ceil(text.length / 4) * 4, '=') : text
}

const lengthOf = (value: Value): number => {
  if (typeof value === 'string' || value instanceof Uint8Array) return value.length
  return takeList('len', value).length
}

const isInteger = (value: Value): value is number | bigint => typeof value === 'number' || typeof value === 'bigint'

const isEqual = (a: Value, b: Value): boolean => a === b || (isInteger(a) && isInteger(b) && BigInt(a) === BigInt(b))

const joinTexts = (separator: string, list: Value): string =>
  takeList('join', list)
    .filter((item) => item !== undefined)
    .map((item) => takeScalarText('join', item))
    .join(separator)

/** application/x-www-form-urlencoded in the order given, absent members left out. */
const queryText = (value: Value): string =>
  Object.entries(takeObject('qs', value))
    .filter(([, member]) => member !== undefined)
    .map(([name, member]) => `${encodeURIComponent(name)}=${encodeURIComponent(takeScalarText('qs', member))}`)
    .join('&')

const withMembers = (value: Value, more: Value): Value => {
  const object = takeObject('with', value)
  const added = takeObject('with', more)
  const twice = Object.keys(added).find((name) => name in object)
  if (twice !== undefined) throw new OperatorRefused('with', `${twice} is there already`)
  return { ...object, ...added }
}

const pick = (table: ReadonlyMap<string, string | number>, value: Value): Value => {
  const found = table.get(takeScalarText('map', value))
  if (found === undefined) throw new OperatorRefused('map', 'takes one of the values in its table')
  return found
}

const sortIntegers = (value: Value): Value =>
  [...takeList('sort', value)].sort((a, b) => {
    const difference = takeBigint('sort', a) - takeBigint('sort', b)
    return difference < 0n ? -1 : difference > 0n ? 1 : 0
  })

const precisionOf = (literal: Expression | undefined): Precision => {
  if (literal === 'exact' || literal === 'truncate' || literal === 'up') return literal
  throw new ProfileFault('@scale is exact, truncate or up')
}

const structHash = (types: Expression | undefined, primaryType: Expression | undefined) => {
  const plan = compileTypedPlan(types as TypeLists, literalText(primaryType))
  return (message: Value) => plan.hashStruct(message)
}

/** Text: what is written, and how bytes become text and back. */
const TEXT: Readonly<Record<string, Operator>> = {
  str: pure([1, 1], (value) => takeScalarText('str', value)),
  join: withLiteral(1, [1, 1], ([separator]) => (list) => joinTexts(literalText(separator), list)),
  lower: pure([1, 1], (text) => takeText('lower', text).toLowerCase()),
  upper: pure([1, 1], (text) => takeText('upper', text).toUpperCase()),
  checksum: pure([1, 1], checksumAddress),
  json: pure([1, 1], writeJson),
  qs: pure([1, 1], queryText),
  hex: pure([1, 1], (bytes) => toHex(takeBytes('hex', bytes))),
  b58: pure([1, 1], (bytes) => encodeBase58(takeBytes('b58', bytes))),
  b64: pure([1, 1], (bytes) => base64(bytes, 'base64', true)),
  b64u: pure([1, 1], (bytes) => base64(bytes, 'base64url', false)),
  b64up: pure([1, 1], (bytes) => base64(bytes, 'base64url', true)),
  unscale: withLiteral(1, [1, 1], ([places]) => {
    const count = literalCount(places, 36)
    return (value) => unscaleDecimal(takeBigint('unscale', value), count)
  }),
  ratio: withLiteral(1, [2, 2], ([places]) => {
    const count = literalCount(places, 36)
    return (a, b) => ratioDecimal(takeBigint('ratio', a), takeBigint('ratio', b), count)
  }),
}

/** Bytes: encodings and hashes. */
const BYTES: Readonly<Record<string, Operator>> = {
  /** Bytes after bytes; a list among the arguments stands for its items. */
  cat: pure([1, MANY], (...parts) => concatBytes(...parts.flat().map((part) => takeBytes('cat', part)))),
  utf8: pure([1, 1], (text) => Buffer.from(takeText('utf8', text), 'utf8')),
  b64d: pure([1, 1], (text) => Buffer.from(takeText('b64d', text), 'base64')),
  u: withLiteral(1, [1, 1], ([size]) => {
    const count = literalCount(size, 32)
    return (value) => fixedBytes(count, value)
  }),
  padl: withLiteral(1, [1, 1], ([size]) => {
    const count = literalCount(size, 256)
    return (value) => pad('padl', count, value, true)
  }),
  padr: withLiteral(1, [1, 1], ([size]) => {
    const count = literalCount(size, 256)
    return (value) => pad('padr', count, value, false)
  }),
  slice: withLiteral(2, [1, 1], ([from, to]) => {
    const [start, end] = [literalCount(from, 4096), literalCount(to, 4096)]
    return (value) => takeBytes('slice', value).slice(start, end)
  }),
  keccak: pure([1, 1], (bytes) => keccak256(takeBytes('keccak', bytes))),
  hmac256: pure([2, 2], (key, bytes) =>
    createHmac('sha256', takeBytes('hmac256', key)).update(takeBytes('hmac256', bytes)).digest(),
  ),
  msgpack: pure([1, 1], encodeMessagePack),
  abi: withLiteral(1, [0, MANY], ([types]) => {
    const encode = compileAbi(literalText(types))
    return (...values) => encode(values)
  }),
  call: withLiteral(1, [0, MANY], ([signature]) => {
    const encode = compileCall(literalText(signature))
    return (...values) => encode(values)
  }),
  structHash: withLiteral(2, [1, 1], ([types, primaryType]) => structHash(types, primaryType)),
  domainSep: pure([1, 1], hashDomain),
}

/** Numbers, choices and lists. */
const VALUES: Readonly<Record<string, Operator>> = {
  /** An integer; its decimal or 0x text. */
  big: pure([1, 1], (value) =>
    typeof value === 'string' && /^0x[0-9a-f]{1,64}$/i.test(value) ? BigInt(value) : takeBigint('big', value),
  ),
  add: pure([2, 2], (a, b) => takeBigint('add', a) + takeBigint('add', b)),
  mul: pure([2, 2], (a, b) => takeBigint('mul', a) * takeBigint('mul', b)),
  /** Rounded down; for times in coarser units. */
  div: pure([2, 2], (a, b) => {
    const divisor = takeBigint('div', b)
    if (divisor <= 0n) throw new OperatorRefused('div', 'by what is not positive')
    return takeBigint('div', a) / divisor
  }),
  /** An integer as a JSON number: refused beyond 2^53. */
  num: pure([1, 1], (value) => {
    const integer = Number(takeBigint('num', value))
    if (!Number.isSafeInteger(integer)) throw new OperatorRefused('num', 'is beyond 2^53')
    return integer
  }),
  shl: withLiteral(1, [1, 1], ([bits]) => {
    const count = BigInt(literalCount(bits, 256))
    return (value) => takeBigint('shl', value) << count
  }),
  scale: withLiteral(2, [1, 1], ([places, precision]) => {
    const [count, kind] = [literalCount(places, 36), precisionOf(precision)]
    return (value) => scaleDecimal(takeText('scale', value), count, kind)
  }),
  len: pure([1, 1], lengthOf),
  sort: pure([1, 1], sortIntegers),
  /** Lists after lists; absent ones count as empty. */
  concat: pure([1, MANY], (...lists) => lists.flatMap((list) => (list === undefined ? [] : takeList('concat', list)))),
  map: withLiteral(1, [1, 1], ([table]) => {
    const entries = literalTable(table)
    return (value) => pick(entries, value)
  }),
  isIn: pure([2, 2], (value, list) => takeList('isIn', list).some((item) => isEqual(item, value))),
  eq: pure([2, 2], isEqual),
  not: pure([1, 1], (value) => {
    if (typeof value !== 'boolean') throw wrongKind('not', 'true or false', value)
    return !value
  }),
  has: pure([1, 1], (value) => value !== undefined),
  or: pure([2, MANY], (...values) => values.find((value) => value !== undefined)),
  with: pure([2, 2], withMembers),
  get: pure([2, 2], (object, name) => {
    if (!isValueObject(object)) throw wrongKind('get', 'an object', object)
    const key = takeText('get', name)
    return Object.hasOwn(object, key) ? object[key] : undefined
  }),
}

export const OPERATORS: ReadonlyMap<string, Operator> = new Map(Object.entries({ ...TEXT, ...BYTES, ...VALUES }))
