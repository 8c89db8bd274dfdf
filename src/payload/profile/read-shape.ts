import { formatEvmAddress, parseEvmAddress } from '../address.ts'
import { toHex } from '../bytes.ts'
import type { JsonObject, JsonValue } from '../json.ts'
import { isJsonArray, isJsonNumber, isJsonObject } from '../json.ts'
import { ProfileFault } from './profile-fault.ts'
import type { Member, Members, Shape } from './shape.ts'
import type { Value } from './value.ts'

/** Why a value does not have its shape, and where: the path is put together on the way out. */
export class ShapeRefused extends Error {
  readonly why: string
  readonly segments: (string | number)[] = []

  constructor(why: string) {
    super(why)
    this.name = 'ShapeRefused'
    this.why = why
  }

  get path(): string {
    const text = this.segments.map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`)).join('')
    return text === '' ? '$' : text.slice(0, 200).replace(/^\./, '')
  }
}

/** `read` throws `ShapeRefused`; `fits` says cheaply whether a value of several kinds may be of this one. */
export type ShapeReader = {
  readonly read: (value: JsonValue) => Value
  readonly fits: (value: JsonValue) => boolean
}

const MAX_SHAPE_DEPTH = 12
const JSON_INTEGER = /^(?:0|-?[1-9][0-9]*)$/
const BIG_INTEGER = /^(?:0|[1-9][0-9]{0,77})$/
const DECIMAL = /^(?<sign>-?)(?<whole>0|[1-9][0-9]*)(?:\.(?<fraction>[0-9]+))?$/
const HEX = /^0x(?:[0-9a-fA-F]{2})*$/
const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/

const isText = (value: JsonValue): value is string => typeof value === 'string'

const refused = (why: string) => new ShapeRefused(why)

/** A reader of texts: `why` explains what is wrong with one, or is undefined. */
const textReader = (
  check: (text: string) => string | undefined,
  convert: (text: string) => Value = (text) => text,
): ShapeReader => ({
  read: (value) => {
    if (!isText(value)) throw refused('is not a string')
    const why = check(value)
    if (why !== undefined) throw refused(why)
    return convert(value)
  },
  fits: (value) => isText(value) && check(value) === undefined,
})

const compileText = ({ max, pattern }: { max: number; pattern: string }): ShapeReader => {
  const whole = new RegExp(`^(?:${pattern})$`, 'u')
  return textReader((text) => {
    if (text.length > max) return `is longer than ${max} characters`
    return whole.test(text) ? undefined : 'has characters or a form that this field does not take'
  })
}

const compileInteger = ({ min, max }: { min: number; max: number }): ShapeReader => {
  if (!Number.isSafeInteger(min) || !Number.isSafeInteger(max)) throw new ProfileFault('an integer beyond 2^53')
  return {
    read: (value) => {
      if (!isJsonNumber(value)) throw refused('is not a number')
      if (!JSON_INTEGER.test(value.numberText)) throw refused('is not an integer')
      const integer = Number(value.numberText)
      if (!Number.isSafeInteger(integer)) throw refused('is beyond 2^53 − 1')
      if (integer < min || integer > max) throw refused(`is not within ${min} and ${max}`)
      return integer
    },
    fits: isJsonNumber,
  }
}

const compileBig = ({ bits, min = 0 }: { bits: number; min?: number }): ShapeReader =>
  textReader(
    (text) => {
      if (!BIG_INTEGER.test(text)) return 'is not the decimal text of an unsigned integer'
      const integer = BigInt(text)
      return integer >> BigInt(bits) === 0n && integer >= BigInt(min) ? undefined : `does not fit uint${bits}`
    },
    (text) => BigInt(text),
  )

const compileDecimal = (shape: Extract<Shape, { kind: 'decimal' }>): ShapeReader =>
  textReader((text) => {
    const match = text.length > 100 ? undefined : DECIMAL.exec(text)?.groups
    if (match === undefined) return 'is not a decimal number in plain notation'
    const { sign = '', whole = '', fraction } = match
    if (fraction?.endsWith('0') === true) return 'has superfluous zeros after the point'
    if (sign !== '' && (shape.range !== 'any' || (whole === '0' && fraction === undefined))) return 'is negative'
    if (whole.length > shape.digits) return `has more than ${shape.digits} digits before the point`
    if ((fraction?.length ?? 0) > shape.places) return `has more than ${shape.places} decimal places`
    return shape.range === 'positive' && text === '0' ? 'is zero' : undefined
  })

const ZERO_ADDRESS = /^0x0{40}$/

const compileAddress = ({ write, zero = false }: { write: 'lower' | 'checksum'; zero?: boolean }): ShapeReader =>
  textReader(
    (text) => {
      if (parseEvmAddress(text) === undefined) return 'is not an address, or its checksum is wrong'
      return !zero && ZERO_ADDRESS.test(text) ? 'is the zero address' : undefined
    },
    (text) => {
      if (write === 'lower') return text.toLowerCase()
      return formatEvmAddress(parseEvmAddress(text) ?? new Uint8Array())
    },
  )

const compileHex = (shape: { readonly bytes: number } | { readonly max: number }): ShapeReader =>
  textReader(
    (text) => {
      if (!HEX.test(text)) return 'is not 0x and an even number of hex digits'
      const bytes = (text.length - 2) / 2
      if ('bytes' in shape) return bytes === shape.bytes ? undefined : `is not ${shape.bytes} bytes long`
      return bytes <= shape.max ? undefined : `is longer than ${shape.max} bytes`
    },
    (text) => text.toLowerCase(),
  )

/** Runs `read` and, when it refuses, says where. */
const within = <T>(segment: string | number, read: () => T): T => {
  try {
    return read()
  } catch (error) {
    if (error instanceof ShapeRefused) error.segments.unshift(segment)
    throw error
  }
}

const compileList = (shape: Extract<Shape, { kind: 'list' }>, depth: number): ShapeReader => {
  const item = compileShape(shape.of, depth + 1)
  return {
    read: (value) => {
      if (!isJsonArray(value)) throw refused('is not a list')
      if (value.length < shape.min) throw refused(`has fewer than ${shape.min} items`)
      if (value.length > shape.max) throw refused(`has more than ${shape.max} items`)
      return value.map((each, index) => within(index, () => item.read(each)))
    },
    fits: isJsonArray,
  }
}

const isOptional = (member: Member): member is { readonly optional: Shape } => 'optional' in member

const refuseUnknown = (value: JsonObject, known: ReadonlySet<string>): never => {
  const unknown = [...value.keys()].find((key) => !known.has(key)) ?? ''
  const refusal = refused('is not a known field')
  refusal.segments.unshift(unknown.slice(0, 64))
  throw refusal
}

const compileObject = (members: Members, depth: number): ShapeReader => {
  const fields = Object.entries(members).map(([name, member]) => {
    if (name in Object.prototype) throw new ProfileFault(`a member named ${name}`)
    const optional = isOptional(member)
    return { name, optional, reader: compileShape(optional ? member.optional : member, depth + 1) }
  })
  const known = new Set(fields.map(({ name }) => name))
  return {
    read: (value) => {
      if (!isJsonObject(value)) throw refused('is not an object')
      const result: Record<string, Value> = {}
      let found = 0
      for (const { name, optional, reader } of fields) {
        const member = value.get(name)
        if (member !== undefined) {
          found += 1
          result[name] = within(name, () => reader.read(member))
        } else if (!optional) within(name, () => { throw refused('is missing') })
      }
      return found === value.size ? result : refuseUnknown(value, known)
    },
    fits: (value) => isJsonObject(value) && fields.every(({ name, optional }) => optional || value.has(name)),
  }
}

const compileEither = (of: readonly Shape[], depth: number): ShapeReader => {
  const readers = of.map((shape) => compileShape(shape, depth + 1))
  return {
    read: (value) => {
      const reader = readers.find(({ fits }) => fits(value))
      if (reader === undefined) throw refused('has none of the forms that this field takes')
      return reader.read(value)
    },
    fits: (value) => readers.some(({ fits }) => fits(value)),
  }
}

const compileConstant = (constant: string | boolean): ShapeReader => ({
  read: (value) => {
    if (value !== constant) throw refused(`is not ${JSON.stringify(constant)}`)
    return constant
  },
  fits: (value) => value === constant,
})

const compileNullable = (shape: Shape, depth: number): ShapeReader => {
  const inner = compileShape(shape, depth + 1)
  return {
    read: (value) => (value === null ? null : inner.read(value)),
    fits: (value) => value === null || inner.fits(value),
  }
}

const BOOLEAN: ShapeReader = {
  read: (value) => {
    if (typeof value !== 'boolean') throw refused('is neither true nor false')
    return value
  },
  fits: (value) => typeof value === 'boolean',
}

/**
 * A reader of one shape, compiled once. It refuses (`ShapeRefused`) whatever is not of the shape, unknown members
 * among it, and answers the value with its members in the order of the shape. Throws `ProfileFault` for a shape that
 * makes no sense or nests too deep.
 */
export const compileShape = (shape: Shape, depth = 0): ShapeReader => {
  if (depth > MAX_SHAPE_DEPTH) throw new ProfileFault('a shape is nested too deep')
  switch (shape.kind) {
    case 'text':
      return compileText(shape)
    case 'word':
      return textReader((text) => (shape.of.includes(text) ? undefined : `is none of ${shape.of.join(', ')}`))
    case 'constant':
      return compileConstant(shape.value)
    case 'boolean':
      return BOOLEAN
    case 'integer':
      return compileInteger(shape)
    case 'big':
      return compileBig(shape)
    case 'decimal':
      return compileDecimal(shape)
    case 'address':
      return compileAddress(shape)
    case 'hex':
      return compileHex(shape)
    case 'base64':
      return textReader((text) => (BASE64.test(text) && text.length <= shape.max * 2 ? undefined : 'is not base64'))
    case 'list':
      return compileList(shape, depth)
    case 'object':
      return compileObject(shape.members, depth)
    case 'either':
      return compileEither(shape.of, depth)
    case 'nullable':
      return compileNullable(shape.of, depth)
    default:
      throw new ProfileFault(`no shape ${toHex(Buffer.from(JSON.stringify(shape))).slice(0, 10)}`)
  }
}
