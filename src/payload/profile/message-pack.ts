import { Encoder } from '@msgpack/msgpack'
import { OperatorRefused } from './profile-fault.ts'
import type { Value } from './value.ts'
import { isValueObject } from './values.ts'

/**
 * MessagePack as exchanges hash it: members in their order, absent ones left out, integers in the shortest form and
 * above 2^32 as 64 bits. The library writes bigints in 64 bits whatever their size, so the small ones become numbers.
 */
const encoder = new Encoder({ ignoreUndefined: true, useBigInt64: true, maxDepth: 16 })

const U64_MAX = (1n << 64n) - 1n
const I64_MIN = -(1n << 63n)

const shorten = (value: Value): unknown => {
  if (typeof value === 'bigint') {
    if (value > U64_MAX || value < I64_MIN) throw new OperatorRefused('msgpack', `${value} does not fit 64 bits`)
    return value <= 0xffffffffn && value >= -0x80000000n ? Number(value) : value
  }
  // The library would write a number beyond 32 bits as a float.
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new OperatorRefused('msgpack', 'takes integers only')
    return value > 0xffffffff || value < -0x80000000 ? BigInt(value) : value
  }
  if (Array.isArray(value)) return (value as readonly Value[]).map(shorten)
  if (!isValueObject(value)) return value
  const result: Record<string, unknown> = {}
  for (const name in value) {
    const member = value[name]
    if (member !== undefined) result[name] = shorten(member)
  }
  return result
}

export const encodeMessagePack = (value: Value): Uint8Array => {
  if (value === undefined) throw new OperatorRefused('msgpack', 'takes a value')
  return encoder.encode(shorten(value))
}
