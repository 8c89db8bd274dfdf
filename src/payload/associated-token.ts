import { hash } from 'node:crypto'
import { decodeBase58 } from '../domain/base58.ts'
import { bytesToBigint, concatBytes, equalBytes } from './bytes.ts'
import { ASSOCIATED_TOKEN_PROGRAM } from './solana-programs.ts'

/** Which mint a token account holds, and which token program keeps it. 32 bytes each. */
export type TokenAccountKind = { readonly mint: Uint8Array; readonly tokenProgram: Uint8Array }

/** Edwards25519 (RFC 8032 §5.1): the field's prime and the curve's d. */
const P = 2n ** 255n - 19n
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n

/** Euler's criterion; not constant-time, for public values only. */
const isSquare = (value: bigint): boolean => {
  let [power, base] = [1n, value]
  for (let exponent = (P - 1n) / 2n; exponent > 0n; exponent >>= 1n) {
    if ((exponent & 1n) === 1n) power = (power * base) % P
    base = (base * base) % P
  }
  return power <= 1n
}

/**
 * Whether 32 public bytes decompress to a point of edwards25519, as the Solana runtime asks it (curve25519-dalek:
 * the sign bit is ignored, y is taken modulo the prime): x² = (y² − 1) / (dy² + 1) has a root.
 */
export const isOnEdwards25519 = (bytes: Uint8Array): boolean => {
  const y = BigInt.asUintN(255, bytesToBigint(bytes.toReversed())) % P
  const square = (y * y) % P
  return isSquare(((square - 1n + P) * (D * square + 1n)) % P)
}

const PROGRAM = decodeBase58(ASSOCIATED_TOKEN_PROGRAM) ?? new Uint8Array()
const MARKER = Buffer.from('ProgramDerivedAddress', 'ascii')
const BUMP_AT = 96
const MAX_BUMP = 255

const derivationOf = (owner: Uint8Array, { mint, tokenProgram }: TokenAccountKind) => {
  if (owner.length !== 32 || mint.length !== 32 || tokenProgram.length !== 32)
    throw new Error('assertion: an owner, a mint and a token program have 32 bytes each')
  const preimage = concatBytes(owner, tokenProgram, mint, Uint8Array.of(MAX_BUMP), PROGRAM, MARKER)
  return (bump: number): string => {
    preimage[BUMP_AT] = bump
    return hash('sha256', preimage, 'hex')
  }
}

/**
 * The associated token account of an owner: the program address of (owner, token program, mint) under the
 * associated token program. The bump is the highest whose hash is not a point of the curve. The owner need not
 * be one.
 */
export const findAssociatedTokenAccount = (owner: Uint8Array, kind: TokenAccountKind): Uint8Array => {
  const derive = derivationOf(owner, kind)
  for (let bump = MAX_BUMP; bump >= 0; bump--) {
    const address = new Uint8Array(Buffer.from(derive(bump), 'hex'))
    if (!isOnEdwards25519(address)) return address
  }
  throw new Error('assertion: some bump gives a program address')
}

/** An account whose bump is none of the first 24 (one in 2^24) is not found, which refuses. */
const BUMPS_TRIED = 24

/**
 * Whether a token account is the associated one of any of these owners. Compares hashes first: a point of the
 * curve costs a hundred times more to recognise than to hash, and lists of owners are long.
 */
export const isAssociatedTokenAccount = (
  account: Uint8Array,
  kind: TokenAccountKind,
  owners: readonly Uint8Array[],
): boolean => {
  const accountDigits = Buffer.from(account).toString('hex')
  const derivations = owners.map((owner) => ({ owner, derive: derivationOf(owner, kind) }))
  for (let bump = MAX_BUMP; bump > MAX_BUMP - BUMPS_TRIED; bump--) {
    const match = derivations.find(({ derive }) => derive(bump) === accountDigits)
    if (match !== undefined) return equalBytes(findAssociatedTokenAccount(match.owner, kind), account)
  }
  return false
}
