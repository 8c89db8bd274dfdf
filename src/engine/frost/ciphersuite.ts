/**
 * FROST(Ed25519, SHA-512) of RFC 9591 for the two parties of a link (docs/protocol.md §18): identifiers 1 = C and
 * 2 = S. Shares are additive, x_i = λ_i·s_i, so λ never appears here. Everything in this file is public.
 */
import { hash } from 'node:crypto'
import { addPoints, mulPoint, scalarReduceWide } from '../curve/ed25519.ts'
import { degenerate } from '../dkls23/fault.ts'
import { ROLE_C, ROLE_S, type Role } from '../dkls23/suite.ts'
import { ascii, concatBytes } from '../hash/encoding.ts'

const CONTEXT = 'FROST-ED25519-SHA512-v1'

/** One party's nonce commitments: D (hiding) and E (binding). */
export type NonceCommitments = { readonly hiding: Uint8Array; readonly binding: Uint8Array }

/** Both parties' commitments, in the order of their identifiers. */
export type CommitmentPair = { readonly c: NonceCommitments; readonly s: NonceCommitments }

/** H1(m) = SHA-512(context ‖ "rho" ‖ m) mod L, RFC 9591 §6.1. */
export function h1(message: Uint8Array): Uint8Array {
  return scalarReduceWide(sha512(ascii(`${CONTEXT}rho`), message))
}

/** H2(m) = SHA-512(m) mod L: the challenge of RFC 8032. */
export function h2(message: Uint8Array): Uint8Array {
  return scalarReduceWide(sha512(message))
}

/** H4(m) = SHA-512(context ‖ "msg" ‖ m). */
export function h4(message: Uint8Array): Uint8Array {
  return sha512(ascii(`${CONTEXT}msg`), message)
}

/** H5(m) = SHA-512(context ‖ "com" ‖ m). */
export function h5(message: Uint8Array): Uint8Array {
  return sha512(ascii(`${CONTEXT}com`), message)
}

/** The identifier of a role as a serialised scalar. */
export function identifierOf(role: Role): Uint8Array {
  const identifier = new Uint8Array(32)
  identifier[0] = role === ROLE_C ? 1 : 2
  return identifier
}

/** RFC 9591 §4.3: (identifier ‖ D ‖ E) of each party, ascending identifiers. */
export function encodeCommitmentList({ c, s }: CommitmentPair): Uint8Array {
  return concatBytes(identifierOf(ROLE_C), c.hiding, c.binding, identifierOf(ROLE_S), s.hiding, s.binding)
}

/** ρ_C and ρ_S: H1(PK ‖ H4(m) ‖ H5(commitment list) ‖ identifier), RFC 9591 §4.4. */
export function bindingFactors(
  publicKey: Uint8Array,
  commitments: CommitmentPair,
  message: Uint8Array,
): { readonly c: Uint8Array; readonly s: Uint8Array } {
  const prefix = concatBytes(publicKey, h4(message), h5(encodeCommitmentList(commitments)))
  const factorOf = (role: Role) => h1(concatBytes(prefix, identifierOf(role)))
  return { c: factorOf(ROLE_C), s: factorOf(ROLE_S) }
}

/** D + ρ·E: one party's part of R. @throws ProtocolFault class B when it is the identity or ρ is zero. */
export function boundNonce(commitments: NonceCommitments, factor: Uint8Array): Uint8Array {
  return sumOf(() => [commitments.hiding, mulPoint(factor, commitments.binding)])
}

/** The sum of points that own randomness is in. @throws ProtocolFault class B when it has no encoding. */
export function sumOf(points: () => readonly Uint8Array[]): Uint8Array {
  let sum: Uint8Array | undefined
  try {
    sum = addPoints(points())
  } catch {
    throw degenerate('degenerate scalar')
  }
  if (sum === undefined) throw degenerate('the identity')
  return sum
}

function sha512(...parts: readonly Uint8Array[]): Uint8Array {
  const digest = hash('sha512', concatBytes(...parts), 'buffer')
  return new Uint8Array(digest.buffer, digest.byteOffset, digest.byteLength)
}
