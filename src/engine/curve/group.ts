/**
 * What key generation, records and proofs need of a group, so that one code serves both algorithms
 * (docs/protocol.md §5, §18). Scalars are 32 bytes little-endian below the group's order; points have a fixed
 * width.
 */
import { ALG_ED25519, ALG_SECP256K1, type Alg } from '../dkls23/suite.ts'
import * as kernel from '../kernel/scalar.ts'
import * as ed25519 from './ed25519.ts'
import * as secp256k1 from './secp256k1.ts'

export type Group = {
  readonly alg: Alg
  readonly pointBytes: number
  /** Constant-time. @throws for 0. */
  readonly mulBase: (scalar: Uint8Array) => Uint8Array
  /** scalar·point, constant-time in the scalar. The result is as secret as the caller says. @throws for 0. */
  readonly mulSecret: (scalar: Uint8Array, point: Uint8Array) => Uint8Array
  /** For public scalars. @throws for 0. */
  readonly mulPublic: (scalar: Uint8Array, point: Uint8Array) => Uint8Array
  /** Undefined when the sum is the identity. */
  readonly addPoints: (points: readonly Uint8Array[]) => Uint8Array | undefined
  /** Canonical, on the curve, in the group of prime order, not the identity. */
  readonly isPoint: (bytes: Uint8Array) => boolean
  readonly isCanonicalScalar: (bytes: Uint8Array) => boolean
  readonly scalarAdd: (a: Uint8Array, b: Uint8Array) => Uint8Array
  readonly scalarMul: (a: Uint8Array, b: Uint8Array) => Uint8Array
  readonly scalarNegate: (a: Uint8Array) => Uint8Array
  readonly scalarReduceWide: (wide: Uint8Array) => Uint8Array
  /** Bits of the top byte that a scalar below the order may have: what rejection sampling keeps of 32 bytes. */
  readonly topByteMask: number
}

export const SECP256K1_GROUP: Group = {
  alg: ALG_SECP256K1,
  pointBytes: 33,
  mulBase: secp256k1.mulBase,
  mulSecret: secp256k1.mulSecret,
  mulPublic: secp256k1.mulPublic,
  addPoints: secp256k1.addPoints,
  isPoint: secp256k1.isPoint,
  isCanonicalScalar: kernel.isCanonicalScalar,
  scalarAdd: kernel.scalarAdd,
  scalarMul: kernel.scalarMul,
  scalarNegate: kernel.scalarNegate,
  scalarReduceWide: kernel.scalarReduceWide,
  topByteMask: 0xff,
}

/** Usable once `ed25519Ready` has resolved. */
export const ED25519_GROUP: Group = {
  alg: ALG_ED25519,
  pointBytes: ed25519.ED25519_BYTES,
  mulBase: ed25519.mulBase,
  mulSecret: ed25519.mulPoint,
  mulPublic: ed25519.mulPoint,
  addPoints: ed25519.addPoints,
  isPoint: ed25519.isValidPoint,
  isCanonicalScalar: ed25519.isCanonicalScalar,
  scalarAdd: ed25519.scalarAdd,
  scalarMul: ed25519.scalarMul,
  scalarNegate: ed25519.scalarNegate,
  scalarReduceWide: ed25519.scalarReduceWide,
  topByteMask: 0x1f,
}

export function groupOf(alg: Alg): Group {
  return alg === ALG_ED25519 ? ED25519_GROUP : SECP256K1_GROUP
}
