/**
 * Opens the native libsecp256k1. The package's index falls back silently to a JavaScript curve that is neither
 * constant-time nor maintained (CVE-2024-48930, CVE-2025-14505); this goes to the native binding and to nothing
 * else, so that a platform without it fails at start-up.
 */
import { createRequire } from 'node:module'

/** What is used of the binding. Its own byte order is big-endian. */
export type Secp256k1Binding = {
  readonly contextRandomize: (seed: Uint8Array) => void
  readonly publicKeyCreate: (secret: Uint8Array, compressed: boolean, output: Uint8Array) => Uint8Array
  readonly publicKeyVerify: (point: Uint8Array) => boolean
  readonly publicKeyConvert: (point: Uint8Array, compressed: boolean, output: Uint8Array) => Uint8Array
  readonly publicKeyNegate: (point: Uint8Array, compressed: boolean, output: Uint8Array) => Uint8Array
  readonly publicKeyCombine: (points: readonly Uint8Array[], compressed: boolean, output: Uint8Array) => Uint8Array
  readonly publicKeyTweakMul: (
    point: Uint8Array,
    scalar: Uint8Array,
    compressed: boolean,
    output: Uint8Array,
  ) => Uint8Array
  readonly ecdh: (point: Uint8Array, secret: Uint8Array, options: EcdhOptions, output: Uint8Array) => Uint8Array
  readonly privateKeyVerify: (secret: Uint8Array) => boolean
  /** RFC 6979 with SHA-256; s is low. */
  readonly ecdsaSign: (
    digest: Uint8Array,
    secret: Uint8Array,
    options: object,
    output: Uint8Array,
  ) => { readonly signature: Uint8Array; readonly recid: number }
  readonly ecdsaVerify: (signature: Uint8Array, digest: Uint8Array, point: Uint8Array) => boolean
  readonly ecdsaRecover: (
    signature: Uint8Array,
    recid: number,
    digest: Uint8Array,
    compressed: boolean,
    output: Uint8Array,
  ) => Uint8Array
}

export type EcdhOptions = {
  readonly hashfn: (x: Uint8Array, y: Uint8Array) => Uint8Array
  readonly xbuf: Uint8Array
  readonly ybuf: Uint8Array
}

const NATIVE = 'secp256k1/bindings.js'

/** Compressed G: what a working binding answers for the scalar 1. */
const GENERATOR_HEX = '0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798'

/**
 * @throws when the native library does not load, or loads and does not compute 1·G. There is no fallback.
 */
export function openBinding(load: (name: string) => unknown = createRequire(import.meta.url)): Secp256k1Binding {
  const binding = load(NATIVE) as Secp256k1Binding
  const one = new Uint8Array(32)
  one[31] = 1
  const point = binding.publicKeyCreate(one, true, new Uint8Array(33))
  if (Buffer.from(point).toString('hex') !== GENERATOR_HEX) throw new Error('libsecp256k1 does not compute')
  return binding
}
