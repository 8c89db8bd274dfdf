/**
 * Opens libsodium, compiled to WebAssembly, and refuses one that does not check points. Its functions are called
 * on its own memory, without the package's wrappers: those leave copies of secret scalars behind in freed memory.
 */
import wrappers from 'libsodium-wrappers-sumo'
import { secretBytes } from '../hash/encoding.ts'

/** What is used of the module. Pointers are byte addresses in HEAPU8; 0 is success, 1 is true. */
export type Sodium = {
  /** Replaced when the memory grows: read anew for each call. */
  readonly HEAPU8: Uint8Array
  readonly _malloc: (length: number) => number
  readonly _crypto_core_ed25519_is_valid_point: (p: number) => number
  readonly _crypto_core_ed25519_add: (out: number, p: number, q: number) => number
  readonly _crypto_core_ed25519_sub: (out: number, p: number, q: number) => number
  readonly _crypto_scalarmult_ed25519_base_noclamp: (out: number, n: number) => number
  readonly _crypto_scalarmult_ed25519_noclamp: (out: number, n: number, p: number) => number
  readonly _crypto_core_ed25519_scalar_add: (out: number, a: number, b: number) => void
  readonly _crypto_core_ed25519_scalar_sub: (out: number, a: number, b: number) => void
  readonly _crypto_core_ed25519_scalar_mul: (out: number, a: number, b: number) => void
  readonly _crypto_core_ed25519_scalar_negate: (out: number, a: number) => void
  readonly _crypto_core_ed25519_scalar_reduce: (out: number, wide: number) => void
}

/** Runs `operation` on copies of the inputs and gives `outBytes` of output; every byte of it is overwritten. */
export type SodiumCall = (
  inputs: readonly Uint8Array[],
  outBytes: number,
  operation: (sodium: Sodium, out: number, addresses: readonly number[]) => number | void,
) => Uint8Array | undefined

const ARENA_BYTES = 256
const BASE_HEX = '5866666666666666666666666666666666666666666666666666666666666666'
/** A point of order 8. Its multiples are the eight points of small order. */
const TORSION_HEX = 'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a'
const IDENTITY_HEX = `01${'00'.repeat(31)}`
/** p + 1: y = 1 in another encoding; and 2^255 − 1. */
const NON_CANONICAL_HEX = [`ee${'ff'.repeat(30)}7f`, `ff${'ff'.repeat(30)}7f`]

const fromHex = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'))

/**
 * Loads libsodium and tests it with known answers.
 * @param load gives the module once it is ready; a test passes a library that is broken.
 * @throws when it does not compute, or takes for valid: a point of small order, B + i·T8 for any i of 1..7
 *   (releases before the one of 2025-12-31 do, CVE-2025-69277), an encoding that is not canonical. There is no
 *   fallback.
 */
export async function openSodium(load: () => Promise<Sodium> = loadSodium): Promise<SodiumCall> {
  const sodium = await load()
  const call = callOn(sodium)
  const isValid = (point: Uint8Array): boolean => isValidIn(call, point)
  const add = (p: Uint8Array, q: Uint8Array): Uint8Array => {
    const sum = call([p, q], 32, (s, out, [a, b]) => s._crypto_core_ed25519_add(out, at(a), at(b)))
    if (sum === undefined) throw new Error('libsodium does not add points')
    return sum
  }
  const base = fromHex(BASE_HEX)
  const one = Uint8Array.of(1, ...new Uint8Array(31))
  const product = call([one], 32, (s, out, [n]) => s._crypto_scalarmult_ed25519_base_noclamp(out, at(n)))
  if (Buffer.compare(product ?? one, base) !== 0 || !isValid(base)) throw new Error('libsodium does not compute')
  const torsion = fromHex(TORSION_HEX)
  let small = fromHex(IDENTITY_HEX)
  for (let i = 0; i < 8; i++) {
    if (isValid(small)) throw new Error('libsodium accepts a point of small order')
    if (i > 0 && isValid(add(base, small))) throw new Error('libsodium accepts a point with torsion')
    small = add(small, torsion)
  }
  if (Buffer.compare(small, fromHex(IDENTITY_HEX)) !== 0) throw new Error('libsodium does not compute')
  const lax = NON_CANONICAL_HEX.some((hex) => isValid(fromHex(hex)))
  if (lax) throw new Error('libsodium accepts a non-canonical point')
  return call
}

/** libsodium's own verdict on 32 bytes: canonical, on the curve, in the prime-order subgroup, not the identity. */
export function isValidIn(call: SodiumCall, point: Uint8Array): boolean {
  const verdict = call([point], 1, (sodium, out, [p]) => {
    sodium.HEAPU8[out] = sodium._crypto_core_ed25519_is_valid_point(at(p))
  })
  return verdict?.[0] === 1
}

/** The WebAssembly module behind the package, ready to be called. */
export async function loadSodium(): Promise<Sodium> {
  await wrappers.ready
  return (wrappers as unknown as { readonly libsodium: Sodium }).libsodium
}

function callOn(sodium: Sodium): SodiumCall {
  const arena = sodium._malloc(ARENA_BYTES)
  if (arena === 0) throw new Error('libsodium has no memory')
  return (inputs, outBytes, operation) => {
    let end = arena + outBytes
    try {
      const addresses = inputs.map((input) => {
        const address = end
        if (address + input.length > arena + ARENA_BYTES) throw new RangeError('input too long')
        sodium.HEAPU8.set(input, address)
        end += input.length
        return address
      })
      const status = operation(sodium, arena, addresses) ?? 0
      if (status !== 0) return undefined
      const output = secretBytes(outBytes)
      output.set(sodium.HEAPU8.subarray(arena, arena + outBytes))
      return output
    } finally {
      sodium.HEAPU8.fill(0, arena, arena + ARENA_BYTES)
    }
  }
}

/** The address of an input that is there. */
export function at(address: number | undefined): number {
  if (address === undefined) throw new RangeError('input missing')
  return address
}
