/**
 * A key share sealed to one recipient (docs/protocol.md §14): 32 bytes, under HPKE for an X25519 key or under
 * RSA-OAEP-SHA256 (RFC 8017) for an RSA key. Both bind the same additional data: HPKE as such, OAEP as its label.
 */
import { constants, createPublicKey, type KeyObject, privateDecrypt, publicEncrypt } from 'node:crypto'
import { ascii, equalBytes, plainBytes, secretBytes } from '../hash/encoding.ts'
import { TAG_PREFIX } from '../hash/tags.ts'
import { SCALAR_BYTES } from '../dkls23/suite.ts'
import { hpkeOpen, hpkeSeal, isX25519Key } from './hpke.ts'

export const KIND_X25519 = 1
export const KIND_RSA = 2
export type RecipientKind = typeof KIND_X25519 | typeof KIND_RSA

/** A public key to seal to: X25519 32 bytes, RSA the DER of its SubjectPublicKeyInfo. */
export type Recipient = { readonly kind: RecipientKind; readonly key: Uint8Array }

/** What a share is sealed for. */
export type SealPurpose = 'import' | 'export'

const RSA_MIN_BITS = 3_072
const RSA_MAX_BITS = 4_096
const RSA_EXPONENT = 65_537n
const RSA_SPKI_MAX_BYTES = 640

const infoOf = (purpose: SealPurpose): Uint8Array => ascii(`${TAG_PREFIX}hpke/${purpose}`)

/** Undefined for anything but the one DER of an RSA key of 3072 to 4096 bits with exponent 65537. */
export const rsaKeyOf = (der: Uint8Array): KeyObject | undefined => {
  if (der.length > RSA_SPKI_MAX_BYTES) return undefined
  try {
    const key = createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' })
    if (key.asymmetricKeyType !== 'rsa') return undefined
    const { modulusLength = 0, publicExponent } = key.asymmetricKeyDetails ?? {}
    const fits = modulusLength >= RSA_MIN_BITS && modulusLength <= RSA_MAX_BITS && publicExponent === RSA_EXPONENT
    // One encoding only: two consents never name one key by different bytes.
    const isCanonical = equalBytes(plainBytes(key.export({ format: 'der', type: 'spki' })), plainBytes(der))
    return fits && isCanonical ? key : undefined
  } catch {
    return undefined
  }
}

/** An X25519 key that is not of low order, or an RSA key of 3072 to 4096 bits with exponent 65537. */
export const isRecipient = ({ kind, key }: Recipient): boolean =>
  kind === KIND_X25519 ? isX25519Key(key) : rsaKeyOf(key) !== undefined

/**
 * Seals a share of 32 bytes.
 * @param ephemeral 32 random bytes, used once; the caller wipes them. RSA draws its own.
 * @throws RangeError on a key that `isRecipient` refuses.
 */
export const sealShareTo = (
  { kind, key }: Recipient,
  { purpose, aad, ephemeral }: { readonly purpose: SealPurpose; readonly aad: Uint8Array; readonly ephemeral: Uint8Array },
  share: Uint8Array,
): Uint8Array => {
  if (share.length !== SCALAR_BYTES) throw new RangeError('a share has 32 bytes')
  if (kind === KIND_X25519) return hpkeSeal(key, ephemeral, { info: infoOf(purpose), aad }, share)
  const rsa = rsaKeyOf(key)
  if (rsa === undefined) throw new RangeError('an RSA key of 3072 to 4096 bits')
  const padding = constants.RSA_PKCS1_OAEP_PADDING
  return publicEncrypt({ key: rsa, padding, oaepHash: 'sha256', oaepLabel: Buffer.from(aad) }, share)
}

/** The private side of a `Recipient`: an X25519 secret of 32 bytes, or an RSA key. */
export type Opener = { readonly kind: typeof KIND_X25519; readonly secret: Uint8Array } | { readonly kind: typeof KIND_RSA; readonly key: KeyObject }

/** The share, which the caller wipes; undefined when the envelope does not open to 32 bytes under this data. */
export const openShareOf = (
  opener: Opener,
  { purpose, aad }: { readonly purpose: SealPurpose; readonly aad: Uint8Array },
  envelope: Uint8Array,
): Uint8Array | undefined => {
  const opened = opener.kind === KIND_X25519
    ? hpkeOpen(opener.secret, { info: infoOf(purpose), aad }, envelope)
    : decrypted(opener.key, aad, envelope)
  if (opened === undefined || opened.length === SCALAR_BYTES) return opened
  opened.fill(0)
  return undefined
}

const decrypted = (key: KeyObject, aad: Uint8Array, envelope: Uint8Array): Uint8Array | undefined => {
  const padding = constants.RSA_PKCS1_OAEP_PADDING
  try {
    const plaintext = privateDecrypt({ key, padding, oaepHash: 'sha256', oaepLabel: Buffer.from(aad) }, envelope)
    const share = secretBytes(plaintext.length)
    share.set(plaintext)
    plaintext.fill(0)
    return share
  } catch {
    return undefined
  }
}
