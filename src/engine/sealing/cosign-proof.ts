/**
 * What a delegate and its granting daemon sign to each other before a frame passes between them: that each holds the
 * identity key which the share is bound to, over fresh random bytes of both. The statement is encoded as those of
 * owner-consent.ts are.
 */
import { createPublicKey, verify } from 'node:crypto'
import { ascii, concatBytes, equalBytes } from '../hash/encoding.ts'
import { partyIdOf } from './import-key.ts'
import { statement } from './owner-consent.ts'

const COSIGN_STATEMENT = 'countersign/cosign/v1'
export const COSIGN_NONCE_BYTES = 32

export type CosignParties = {
  /** The delegate (party C) and the daemon (party S), 32 bytes each. */
  readonly idC: Uint8Array
  readonly idS: Uint8Array
  /** The wallet id of the delegated share, 16 bytes. */
  readonly accessId: Uint8Array
  /** 32 random bytes of each. */
  readonly nonceC: Uint8Array
  readonly nonceS: Uint8Array
}

/** Whoever signs says who they are, so neither's signature serves the other. */
export type CosignRole = 'delegate' | 'daemon'

export const cosignStatement = (role: CosignRole, { idC, idS, accessId, nonceC, nonceS }: CosignParties): Uint8Array =>
  statement(COSIGN_STATEMENT, [ascii(role), idC, idS, accessId, nonceC, nonceS])

const SPKI_PREFIX = Uint8Array.from(Buffer.from('302a300506032b6570032100', 'hex'))

/** Whether `identityKey` (Ed25519, 32 bytes) is the key of that side's party id, and signed. */
export const isCosignProven = (
  role: CosignRole,
  parties: CosignParties,
  identityKey: Uint8Array,
  signature: Uint8Array,
): boolean => {
  if (identityKey.length !== 32 || signature.length !== 64) return false
  const id = role === 'delegate' ? parties.idC : parties.idS
  if (!equalBytes(partyIdOf(identityKey), id)) return false
  const key = createPublicKey({ key: Buffer.from(concatBytes(SPKI_PREFIX, identityKey)), format: 'der', type: 'spki' })
  return verify(null, cosignStatement(role, parties), key, signature)
}
