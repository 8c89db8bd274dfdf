/**
 * FROST(Ed25519, SHA-512) of RFC 9591 for the two parties of a link (docs/protocol.md §18): identifiers 1 = C and
 * 2 = S. Shares are additive, x_i = λ_i·s_i, so λ never appears here. Everything in this file is public.
 */
import { isIdentity, scalarReduceWide } from '../curve/ed25519.ts'
import { nonceSum } from '../curve/nonce-sum.ts'
import { degenerate } from '../dkls23/fault.ts'
import { ascii, concatBytes } from '../hash/encoding.ts'
import { hashJoined } from '../hash/tagged-hash.ts'
import { isZeroScalar } from '../kernel/scalar.ts'

const CONTEXT = 'FROST-ED25519-SHA512-v1'
const RHO = ascii(`${CONTEXT}rho`)
const MSG = ascii(`${CONTEXT}msg`)
const COM = ascii(`${CONTEXT}com`)
const IDENTIFIER_C = scalarOf(1)
const IDENTIFIER_S = scalarOf(2)

/** One party's nonce commitments: D (hiding) and E (binding). */
export type NonceCommitments = { readonly hiding: Uint8Array; readonly binding: Uint8Array }

/** Both parties' commitments, in the order of their identifiers. */
export type CommitmentPair = { readonly c: NonceCommitments; readonly s: NonceCommitments }

/** H1(m) = SHA-512(context ‖ "rho" ‖ m) mod L, RFC 9591 §6.1. */
export function h1(message: Uint8Array): Uint8Array {
  return scalarReduceWide(sha512(RHO, message))
}

/** H2(m) = SHA-512(m) mod L: the challenge of RFC 8032. */
export function h2(message: Uint8Array): Uint8Array {
  return scalarReduceWide(sha512(message))
}

/** H4(m) = SHA-512(context ‖ "msg" ‖ m). */
export function h4(message: Uint8Array): Uint8Array {
  return sha512(MSG, message)
}

/** H5(m) = SHA-512(context ‖ "com" ‖ m). */
export function h5(message: Uint8Array): Uint8Array {
  return sha512(COM, message)
}

/** RFC 9591 §4.3: (identifier ‖ D ‖ E) of each party, ascending identifiers. */
export function encodeCommitmentList({ c, s }: CommitmentPair): Uint8Array {
  return concatBytes(IDENTIFIER_C, c.hiding, c.binding, IDENTIFIER_S, s.hiding, s.binding)
}

/** ρ_C and ρ_S: H1(PK ‖ H4(m) ‖ H5(commitment list) ‖ identifier), RFC 9591 §4.4. */
export function bindingFactors(
  publicKey: Uint8Array,
  commitments: CommitmentPair,
  message: Uint8Array,
): { readonly c: Uint8Array; readonly s: Uint8Array } {
  const prefix = concatBytes(publicKey, h4(message), h5(encodeCommitmentList(commitments)))
  return { c: h1(concatBytes(prefix, IDENTIFIER_C)), s: h1(concatBytes(prefix, IDENTIFIER_S)) }
}

/**
 * R = D_C + ρ_C·E_C + D_S + ρ_S·E_S.
 * @throws ProtocolFault class B when it is the identity or a factor is zero; own randomness is in both.
 */
export function noncePointOf(
  { c, s }: CommitmentPair,
  factors: { readonly c: Uint8Array; readonly s: Uint8Array },
): Uint8Array {
  if (isZeroScalar(factors.c) || isZeroScalar(factors.s)) throw degenerate('degenerate scalar')
  const sum = nonceSum([c.hiding, c.binding, s.hiding, s.binding], [factors.c, factors.s])
  if (sum === undefined || isIdentity(sum)) throw degenerate('the identity')
  return sum
}

function scalarOf(value: number): Uint8Array {
  const scalar = new Uint8Array(32)
  scalar[0] = value
  return scalar
}

function sha512(...parts: readonly Uint8Array[]): Uint8Array {
  return hashJoined('sha512', parts)
}
