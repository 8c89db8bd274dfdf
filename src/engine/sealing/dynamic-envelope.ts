/**
 * The envelope that receivers of Dynamic's delegated access open (`HYBRID-RSA-AES-256`): AES-256-GCM with an IV of 16
 * bytes, a tag of 16 and no additional data; the 32 bytes of its key under RSA-OAEP with SHA-256 and no label; each part
 * as base64url without padding. It says nothing of who sealed it: what is inside is bound by what it says itself.
 */
import { constants, createCipheriv, createDecipheriv, type KeyObject, privateDecrypt, publicEncrypt } from 'node:crypto'
import type { SealedEnvelope } from '../../domain/sealed-envelope.ts'
import { concatBytes } from '../hash/encoding.ts'
import { decipher } from './decipher.ts'
import { rsaKeyOf } from './share-envelope.ts'

const DYNAMIC_ALG = 'HYBRID-RSA-AES-256'
/** Under this name some receivers know the same thing. */
const OTHER_ALG = 'RSA-OAEP-256'

/** A `SealedEnvelope` in bytes, as parties carry it. */
export type EnvelopeBytes = {
  readonly iv: Uint8Array
  readonly ct: Uint8Array
  readonly tag: Uint8Array
  readonly ek: Uint8Array
}

const KEY_BYTES = 32
const IV_BYTES = 16
const TAG_BYTES = 16
/** What sealing takes from the caller. */
export const ENVELOPE_RANDOM_BYTES = KEY_BYTES + IV_BYTES
/** Of `ct` and of `ek`, in characters. */
const MAX_CHARS = 4_096
const BASE64URL = /^[A-Za-z0-9_-]+$/
const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' } as const

/**
 * Seals `plaintext` to an RSA key (DER of its SubjectPublicKeyInfo).
 * @param random 48 random bytes, used once; the caller wipes them. OAEP draws its own.
 * @throws RangeError on a key that is not of 3072 to 4096 bits, or on more than fits.
 */
export const sealDynamicBytes = (rsaKey: Uint8Array, random: Uint8Array, plaintext: Uint8Array): EnvelopeBytes => {
  const key = rsaKeyOf(rsaKey)
  if (key === undefined) throw new RangeError('an RSA key of 3072 to 4096 bits')
  if (random.length !== ENVELOPE_RANDOM_BYTES) throw new RangeError(`${ENVELOPE_RANDOM_BYTES} random bytes`)
  if (plaintext.length > (MAX_CHARS / 4) * 3) throw new RangeError('more than an envelope holds')
  const contentKey = random.subarray(0, KEY_BYTES)
  const iv = random.slice(KEY_BYTES)
  const cipher = createCipheriv('aes-256-gcm', contentKey, iv, { authTagLength: TAG_BYTES })
  const ct = cipher.update(plaintext)
  cipher.final()
  return { iv, ct, tag: cipher.getAuthTag(), ek: publicEncrypt({ key, ...OAEP }, contentKey) }
}

/** As receivers take it. */
export const envelopeText = ({ iv, ct, tag, ek }: EnvelopeBytes, kid?: string): SealedEnvelope => {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')
  const envelope = { alg: DYNAMIC_ALG, iv: text(iv), ct: text(ct), tag: text(tag), ek: text(ek) }
  return kid === undefined ? envelope : { ...envelope, kid }
}

export const sealDynamicEnvelope = (
  recipient: { readonly rsaKey: Uint8Array; readonly kid?: string },
  random: Uint8Array,
  plaintext: Uint8Array,
): SealedEnvelope => envelopeText(sealDynamicBytes(recipient.rsaKey, random, plaintext), recipient.kid)

/** base64url without padding, and no other text for the same bytes. */
const bytesOf = (text: unknown, minBytes: number, maxBytes = minBytes): Buffer | undefined => {
  if (typeof text !== 'string' || text.length > MAX_CHARS || !BASE64URL.test(text)) return undefined
  const bytes = Buffer.from(text, 'base64url')
  const fits = bytes.length >= minBytes && bytes.length <= maxBytes
  return fits && bytes.toString('base64url') === text ? bytes : undefined
}

/**
 * What the envelope holds, which the caller wipes; undefined when it is malformed, of another algorithm, for another key,
 * or altered. Which of these it is, nobody is told.
 */
export const openDynamicEnvelope = (privateKey: KeyObject, envelope: SealedEnvelope): Uint8Array | undefined => {
  if (envelope.alg !== DYNAMIC_ALG && envelope.alg !== OTHER_ALG) return undefined
  const [iv, tag] = [bytesOf(envelope.iv, IV_BYTES), bytesOf(envelope.tag, TAG_BYTES)]
  const [ct, ek] = [bytesOf(envelope.ct, 1, MAX_CHARS), bytesOf(envelope.ek, 256, 1_024)]
  if (iv === undefined || tag === undefined || ct === undefined || ek === undefined) return undefined
  const contentKey = unwrap(privateKey, ek)
  if (contentKey === undefined) return undefined
  try {
    const keyed = createDecipheriv('aes-256-gcm', contentKey, iv, { authTagLength: TAG_BYTES })
    keyed.setAuthTag(tag)
    return decipher(keyed, ct)
  } finally {
    contentKey.fill(0)
  }
}

const unwrap = (key: KeyObject, ek: Uint8Array): Uint8Array | undefined => {
  try {
    const contentKey = privateDecrypt({ key, ...OAEP }, ek)
    if (contentKey.length === KEY_BYTES) return contentKey
    contentKey.fill(0)
    return undefined
  } catch {
    return undefined
  }
}

/** iv 16 ‖ tag 16 ‖ u16 |ek| ‖ ek ‖ ct: how one party hands it to the other. */
export const encodeEnvelopeBytes = ({ iv, ct, tag, ek }: EnvelopeBytes): Uint8Array =>
  concatBytes(iv, tag, Uint8Array.of(ek.length & 0xff, ek.length >> 8), ek, ct)

/** Undefined for bytes that cannot be one. */
export const decodeEnvelopeBytes = (bytes: Uint8Array): EnvelopeBytes | undefined => {
  const ekAt = IV_BYTES + TAG_BYTES + 2
  if (bytes.length < ekAt) return undefined
  const ekBytes = (bytes[ekAt - 2] ?? 0) + 256 * (bytes[ekAt - 1] ?? 0)
  const ctAt = ekAt + ekBytes
  if (ekBytes < 256 || ekBytes > 1_024 || ctAt >= bytes.length) return undefined
  return {
    iv: bytes.slice(0, IV_BYTES),
    tag: bytes.slice(IV_BYTES, IV_BYTES + TAG_BYTES),
    ek: bytes.slice(ekAt, ctAt),
    ct: bytes.slice(ctAt),
  }
}
