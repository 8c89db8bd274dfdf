/**
 * The key that halves of an imported key are sealed to, and the identity that vouches for it (docs/protocol.md §14). A
 * client knows a party by its id alone, so the identity key beside the signature is good only if it hashes to that id.
 */
import { createPublicKey, hash, verify } from 'node:crypto'
import { concatBytes, equalBytes, u64 } from '../hash/encoding.ts'
import { statement } from './owner-consent.ts'

/** The first item of what is signed: no identity key signs an import key under another. */
const IMPORT_KEY_STATEMENT = 'countersign/import-key/v1'
/** An import key lives at most this long. */
export const IMPORT_KEY_MAX_MS = 3_600_000

export type ImportKey = {
  readonly partyId: Uint8Array
  /** Ed25519, 32 bytes. */
  readonly identityKey: Uint8Array
  /** X25519, 32 bytes. */
  readonly key: Uint8Array
  readonly expireMs: number
  /** Ed25519 over the statement, 64 bytes. */
  readonly signature: Uint8Array
}

const PARTY_ID_PREFIX = 'countersign/party-id/v1'

/** A party's id on a link: the hash of its long-term identity key, the Ed25519 key that signs its audit chain. */
export const partyIdOf = (identityKey: Uint8Array): Uint8Array =>
  new Uint8Array(hash('sha256', concatBytes(new TextEncoder().encode(PARTY_ID_PREFIX), identityKey), 'buffer'))

export const importKeyStatement = ({ partyId, key, expireMs }: Pick<ImportKey, 'partyId' | 'key' | 'expireMs'>): Uint8Array =>
  statement(IMPORT_KEY_STATEMENT, [partyId, key, u64(BigInt(expireMs))])

const SPKI_PREFIX = Uint8Array.from(Buffer.from('302a300506032b6570032100', 'hex'))

/** Whether the party with this id, which the caller has pinned, vouches for the key now. */
export const isVouchedFor = (one: ImportKey, pinnedId: Uint8Array, nowMs: number): boolean => {
  const { identityKey, expireMs, signature } = one
  if (identityKey.length !== 32 || signature.length !== 64 || one.key.length !== 32) return false
  if (!equalBytes(partyIdOf(identityKey), pinnedId) || !equalBytes(one.partyId, pinnedId)) return false
  if (!(expireMs > nowMs && expireMs <= nowMs + IMPORT_KEY_MAX_MS)) return false
  const key = createPublicKey({ key: Buffer.from(concatBytes(SPKI_PREFIX, identityKey)), format: 'der', type: 'spki' })
  return verify(null, importKeyStatement(one), key, signature)
}
