import { formatEvmAddress } from '../address.ts'
import { bigintToWord, concatBytes } from '../bytes.ts'
import { keccak256 } from '../keccak.ts'
import { OperatorRefused, ProfileFault } from './profile-fault.ts'
import type { Value } from './value.ts'
import { takeBigint, takeBytes, takeList, takeText } from './values.ts'

/** Solidity's ABI for the flat arguments that venues sign: no tuples, and arrays of static items only. */

type Encoder = { readonly dynamic: boolean; readonly encode: (value: Value) => Uint8Array }

const INTEGER = /^(?<sign>u?)int(?<bits>[0-9]{0,3})$/
const FIXED = /^bytes(?<size>[1-9][0-9]?)$/

const refuse = (why: string) => new OperatorRefused('abi', why)

const encodeInteger = (value: Value, signed: boolean, bits: number): Uint8Array => {
  const integer = takeBigint('abi', value)
  const fits = signed ? BigInt.asIntN(bits, integer) : BigInt.asUintN(bits, integer)
  if (fits !== integer) throw refuse(`${integer} does not fit ${signed ? 'int' : 'uint'}${bits}`)
  return bigintToWord(integer)
}

const sized = (value: Value, size: number): Uint8Array => {
  const bytes = takeBytes('abi', value)
  if (bytes.length !== size) throw refuse(`takes ${size} bytes, not ${bytes.length}`)
  return bytes
}

const padWords = (bytes: Uint8Array): Uint8Array => {
  const padded = new Uint8Array(Math.ceil(bytes.length / 32) * 32)
  padded.set(bytes)
  return padded
}

const dynamicBytes = (bytes: Uint8Array): Uint8Array => concatBytes(bigintToWord(BigInt(bytes.length)), padWords(bytes))

const compileType = (type: string): Encoder => {
  if (type.endsWith('[]')) {
    const item = compileType(type.slice(0, -2))
    if (item.dynamic) throw new ProfileFault(`abi has no ${type}`)
    const encode = (value: Value) => {
      const items = takeList('abi', value)
      return concatBytes(bigintToWord(BigInt(items.length)), ...items.map(item.encode))
    }
    return { dynamic: true, encode }
  }
  const integer = INTEGER.exec(type)?.groups
  if (integer !== undefined) {
    const bits = integer['bits'] === '' ? 256 : Number(integer['bits'])
    if (bits % 8 !== 0 || bits > 256 || bits === 0) throw new ProfileFault(`abi has no ${type}`)
    return { dynamic: false, encode: (value) => encodeInteger(value, integer['sign'] === '', bits) }
  }
  const size = Number(FIXED.exec(type)?.groups?.['size'] ?? 0)
  if (size > 0 && size <= 32) return { dynamic: false, encode: (value) => padWords(sized(value, size)) }
  if (type === 'address')
    return { dynamic: false, encode: (value) => concatBytes(new Uint8Array(12), sized(value, 20)) }
  if (type === 'bool') return { dynamic: false, encode: (value) => bigintToWord(value === true ? 1n : 0n) }
  if (type === 'bytes') return { dynamic: true, encode: (value) => dynamicBytes(takeBytes('abi', value)) }
  if (type === 'string')
    return { dynamic: true, encode: (value) => dynamicBytes(Buffer.from(takeText('abi', value), 'utf8')) }
  throw new ProfileFault(`abi has no ${type}`)
}

/** An encoder of `abi.encode(types…)`. Throws `ProfileFault` for types outside the flat ones. */
export const compileAbi = (types: string): ((values: readonly Value[]) => Uint8Array) => {
  const encoders = types === '' ? [] : types.split(',').map((type) => compileType(type.trim()))
  return (values) => {
    if (values.length !== encoders.length) throw refuse(`takes ${encoders.length} values`)
    const heads: Uint8Array[] = []
    const tails: Uint8Array[] = []
    let tailAt = 32 * encoders.length
    for (const [index, { dynamic, encode }] of encoders.entries()) {
      const encoded = encode(values[index])
      heads.push(dynamic ? bigintToWord(BigInt(tailAt)) : encoded)
      if (!dynamic) continue
      tails.push(encoded)
      tailAt += encoded.length
    }
    return concatBytes(...heads, ...tails)
  }
}

const SIGNATURE = /^[A-Za-z_]\w*\((?<types>[^()]*)\)$/

/** An encoder of a call: the selector of `name(types…)`, then its arguments. */
export const compileCall = (signature: string): ((values: readonly Value[]) => Uint8Array) => {
  const types = SIGNATURE.exec(signature)?.groups?.['types']
  if (types === undefined) throw new ProfileFault(`${signature} is no call`)
  const selector = keccak256(Buffer.from(signature, 'ascii')).slice(0, 4)
  const encode = compileAbi(types)
  return (values) => concatBytes(selector, encode(values))
}

/** An address in its checksummed letters. */
export const checksumAddress = (value: Value): string => formatEvmAddress(sized(value, 20))
