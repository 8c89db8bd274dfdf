/**
 * What the owner of a wallet signs with a wallet secret, an ECDSA key on P-256, for one party to act on by itself
 * (docs/protocol.md §14). A statement is u8(|T|) ‖ T ‖ u8(n) ‖ Π u32le(|item|) ‖ item, T without the suite's prefix:
 * it is made outside the protocol. Signed is its SHA-256, r ‖ s big-endian, 64 bytes.
 */
import { createPublicKey, hash, type KeyObject, verify } from 'node:crypto'
import { ascii, concatBytes, equalBytes, plainBytes, u32, u64, u8 } from '../hash/encoding.ts'
import type { Recipient } from './share-envelope.ts'

export const CONSENT_MAX_MS = 300_000
export const SECRET_ID_BYTES = 32
export const SIGNATURE_BYTES = 64
const P256_SPKI_BYTES = 91

/** One-use: 32 random bytes; good until `expireMs`, at most five minutes ahead. */
export type Once = { readonly expireMs: number; readonly nonce: Uint8Array }

/** The bytes of a statement. */
export const statement = (type: string, items: readonly Uint8Array[]): Uint8Array => {
  const tag = ascii(type)
  return concatBytes(
    u8(tag.length),
    tag,
    u8(items.length),
    ...items.flatMap((item) => [u32(item.length), item]),
  )
}

export type ExportStatement = Once & {
  /** The party that is to act on it, 32 bytes. */
  readonly partyId: Uint8Array
  readonly walletId: Uint8Array
  readonly wEpoch: number
  /** As the engine encodes it: 33 bytes SEC1 compressed, of Ed25519 32. */
  readonly publicKey: Uint8Array
  readonly recipient: Recipient
}

/** "countersign/export/v1": hand the share of this wallet at this epoch over, sealed to this key. */
export const exportStatement = (asked: ExportStatement): Uint8Array =>
  statement('countersign/export/v1', [
    asked.partyId,
    asked.walletId,
    u32(asked.wEpoch),
    asked.publicKey,
    concatBytes(u8(asked.recipient.kind), asked.recipient.key),
    u64(BigInt(asked.expireMs)),
    asked.nonce,
  ])

/** A server that may be given a share, as it is sealed to and as it proves itself. */
export type DelegateKeys = {
  /** The DER of the SubjectPublicKeyInfo of its RSA key. */
  readonly rsaKey: Uint8Array
  /** Its party id, 32 bytes. */
  readonly idG: Uint8Array
}

/** What an operator's approval is for: this delegate under this key, whichever daemon asks. */
export const digestOfDelegate = ({ rsaKey, idG }: DelegateKeys): Uint8Array =>
  new Uint8Array(hash('sha256', statement('countersign/delegate-keys/v1', [rsaKey, idG]), 'buffer'))

export type DelegateStatement = Once & DelegateKeys & {
  /** The party that is to act on it, 32 bytes. */
  readonly partyId: Uint8Array
  readonly walletId: Uint8Array
  readonly wEpoch: number
  /** As the engine encodes it. */
  readonly publicKey: Uint8Array
  /** The link between the delegate and the daemon that the wallet is with, 16 bytes. */
  readonly linkId: Uint8Array
}

/**
 * "countersign/delegate/v1": make a share of this wallet's key for this delegate, sealed to this key of it, to be used
 * with this daemon.
 */
export const delegateStatement = (asked: DelegateStatement): Uint8Array =>
  statement('countersign/delegate/v1', [
    asked.partyId,
    asked.walletId,
    u32(asked.wEpoch),
    asked.publicKey,
    new Uint8Array(hash('sha256', statement('countersign/delegate-key/v1', [asked.rsaKey, asked.idG, asked.linkId]), 'buffer')),
    u64(BigInt(asked.expireMs)),
    asked.nonce,
  ])

/** Whose register of wallet secrets: of one party, for one user of one project. */
export type RegisterOwner = { readonly partyId: Uint8Array; readonly project: string; readonly userId: string }

/** "countersign/wallet-secret-first/v1": proof, by the secret itself, that who makes the first wallet holds it. */
export const firstSecretStatement = ({ partyId, project, userId }: RegisterOwner, publicKey: Uint8Array): Uint8Array =>
  statement('countersign/wallet-secret-first/v1', [partyId, ascii(project), ascii(userId), publicKey])

export type SecretChange = Once & {
  readonly change: 'bind' | 'remove'
  /** Of the secret that is bound or removed: SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array
}

/** "countersign/wallet-secret/v1": bind or remove a secret; signed by one that is in the register already. */
export const secretChangeStatement = ({ partyId, project, userId }: RegisterOwner, asked: SecretChange): Uint8Array =>
  statement('countersign/wallet-secret/v1', [
    partyId,
    ascii(project),
    ascii(userId),
    ascii(asked.change),
    asked.publicKey,
    u64(BigInt(asked.expireMs)),
    asked.nonce,
  ])

/** The first item of what a cosigner signs about an owner. */
const WALLET_OWNER_STATEMENT = 'countersign/wallet-owner/v1'

export type OwnedWallet = RegisterOwner & {
  readonly walletId: Uint8Array
  /** As the engine encodes it. */
  readonly publicKey: Uint8Array
  /** All that are in the register. */
  readonly secretIds: readonly Uint8Array[]
}

/** "countersign/wallet-owner/v1", by the party's identity: whose this key is there, and which secrets speak for them. */
export const walletOwnerStatement = (owned: OwnedWallet): Uint8Array =>
  statement(WALLET_OWNER_STATEMENT, [
    owned.partyId,
    owned.walletId,
    owned.publicKey,
    ascii(owned.project),
    ascii(owned.userId),
    concatBytes(...owned.secretIds.toSorted((a, b) => Buffer.compare(a, b))),
  ])

/** SHA-256 of the SubjectPublicKeyInfo: how a secret is named. */
export const secretIdOf = (publicKey: Uint8Array): Uint8Array => new Uint8Array(hash('sha256', publicKey, 'buffer'))

const keyOf = (publicKey: Uint8Array): KeyObject | undefined => {
  if (publicKey.length !== P256_SPKI_BYTES) return undefined
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey), format: 'der', type: 'spki' })
    const isP256 = key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1'
    const isCanonical = equalBytes(plainBytes(key.export({ format: 'der', type: 'spki' })), plainBytes(publicKey))
    return isP256 && isCanonical ? key : undefined
  } catch {
    return undefined
  }
}

/** The DER of an uncompressed P-256 SubjectPublicKeyInfo and nothing else. */
export const isWalletSecret = (publicKey: Uint8Array): boolean => keyOf(publicKey) !== undefined

/** Whether the secret signed the statement. False for a key or a signature that is malformed. */
export const isSignedBy = (publicKey: Uint8Array, signed: Uint8Array, signature: Uint8Array): boolean => {
  const key = keyOf(publicKey)
  if (key === undefined || signature.length !== SIGNATURE_BYTES) return false
  return verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, signature)
}
