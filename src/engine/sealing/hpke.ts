/**
 * RFC 9180, base mode, single shot: DHKEM(X25519, HKDF-SHA256) 0x0020, HKDF-SHA256 0x0001, ChaCha20-Poly1305 0x0003.
 * Sealed bytes are enc 32 ‖ ciphertext ‖ tag 16. Held to the vectors of the RFC (appendix A.2.1).
 */
import { createCipheriv, createDecipheriv, createHmac, createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto'
import { ascii, concatBytes, u8 } from '../hash/encoding.ts'
import { decipher } from './decipher.ts'

const X25519_BYTES = 32
const TAG_BYTES = 16
/** What sealing adds to a plaintext. */
const HPKE_OVERHEAD_BYTES = X25519_BYTES + TAG_BYTES

const HASH_BYTES = 32
const KEM_SUITE = Uint8Array.of(0x4b, 0x45, 0x4d, 0x00, 0x20)
const HPKE_SUITE = Uint8Array.of(0x48, 0x50, 0x4b, 0x45, 0x00, 0x20, 0x00, 0x01, 0x00, 0x03)
const VERSION = ascii('HPKE-v1')
const MODE_BASE = 0
/** RFC 8410: what stands before the 32 bytes in PKCS #8 and in SubjectPublicKeyInfo. */
const PKCS8_PREFIX = Uint8Array.from(Buffer.from('302e020100300506032b656e04220420', 'hex'))
const SPKI_PREFIX = Uint8Array.from(Buffer.from('302a300506032b656e032100', 'hex'))

const hmac = (key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array => {
  const mac = createHmac('sha256', key)
  for (const part of parts) mac.update(part)
  return mac.digest()
}

const extract = (suite: Uint8Array, salt: Uint8Array, label: string, ikm: Uint8Array): Uint8Array =>
  hmac(salt.length === 0 ? new Uint8Array(HASH_BYTES) : salt, VERSION, suite, ascii(label), ikm)

/** At most 32 bytes, so one block of HKDF-Expand is enough. */
const expand = (suite: Uint8Array, prk: Uint8Array, label: string, info: Uint8Array, length: number): Uint8Array =>
  hmac(prk, Uint8Array.of(length >> 8, length & 0xff), VERSION, suite, ascii(label), info, u8(1)).subarray(0, length)

const privateKeyOf = (secret: Uint8Array) => {
  if (secret.length !== X25519_BYTES) throw new RangeError('an X25519 key has 32 bytes')
  const der = concatBytes(PKCS8_PREFIX, secret)
  try {
    return createPrivateKey({ key: Buffer.from(der.buffer), format: 'der', type: 'pkcs8' })
  } finally {
    der.fill(0)
  }
}

const publicKeyOf = (bytes: Uint8Array) => {
  if (bytes.length !== X25519_BYTES) throw new RangeError('an X25519 key has 32 bytes')
  return createPublicKey({ key: Buffer.from(concatBytes(SPKI_PREFIX, bytes)), format: 'der', type: 'spki' })
}

/** The public key of an X25519 secret of 32 bytes. */
export const x25519PublicKey = (secret: Uint8Array): Uint8Array =>
  Uint8Array.from(createPublicKey(privateKeyOf(secret)).export({ format: 'der', type: 'spki' }).subarray(-X25519_BYTES))

/**
 * scalar·point, which the caller wipes. @throws when the point is of low order, so that the result would be zero
 * whatever the secret (RFC 9180 §7.1.4).
 */
const agree = (secret: Uint8Array, peer: Uint8Array): Uint8Array => {
  const shared = diffieHellman({ privateKey: privateKeyOf(secret), publicKey: publicKeyOf(peer) })
  if (shared.every((byte) => byte === 0)) throw new RangeError('an X25519 key of low order')
  return shared
}

/** True for 32 bytes that agree on something with any secret: not of low order. */
export const isX25519Key = (bytes: Uint8Array): boolean => {
  if (bytes.length !== X25519_BYTES) return false
  try {
    agree(new Uint8Array(X25519_BYTES).fill(0x42), bytes).fill(0)
    return true
  } catch {
    return false
  }
}

type Schedule = { readonly key: Uint8Array; readonly nonce: Uint8Array }

const schedule = (dh: Uint8Array, enc: Uint8Array, recipient: Uint8Array, info: Uint8Array): Schedule => {
  const eaePrk = extract(KEM_SUITE, new Uint8Array(0), 'eae_prk', dh)
  const shared = expand(KEM_SUITE, eaePrk, 'shared_secret', concatBytes(enc, recipient), HASH_BYTES)
  const none = new Uint8Array(0)
  const context = concatBytes(
    u8(MODE_BASE),
    extract(HPKE_SUITE, none, 'psk_id_hash', none),
    extract(HPKE_SUITE, none, 'info_hash', info),
  )
  const secret = extract(HPKE_SUITE, shared, 'secret', none)
  try {
    return {
      key: expand(HPKE_SUITE, secret, 'key', context, 32),
      nonce: expand(HPKE_SUITE, secret, 'base_nonce', context, 12),
    }
  } finally {
    for (const secretValue of [eaePrk, shared, secret]) secretValue.fill(0)
  }
}

/**
 * Seals `plaintext` to an X25519 public key.
 * @param ephemeral 32 random bytes, used once; the caller wipes them.
 * @throws RangeError on a recipient of low order or of another length.
 */
export const hpkeSeal = (
  recipient: Uint8Array,
  ephemeral: Uint8Array,
  { info, aad }: { readonly info: Uint8Array; readonly aad: Uint8Array },
  plaintext: Uint8Array,
): Uint8Array => {
  const enc = x25519PublicKey(ephemeral)
  const dh = agree(ephemeral, recipient)
  const { key, nonce } = schedule(dh, enc, recipient, info)
  try {
    const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: TAG_BYTES })
    cipher.setAAD(aad, { plaintextLength: plaintext.length })
    const body = cipher.update(plaintext)
    cipher.final()
    return concatBytes(enc, body, cipher.getAuthTag())
  } finally {
    dh.fill(0)
    key.fill(0)
  }
}

/** Opens what `hpkeSeal` sealed to the secret's public key; undefined when it does not open. The caller wipes it. */
export const hpkeOpen = (
  secret: Uint8Array,
  { info, aad }: { readonly info: Uint8Array; readonly aad: Uint8Array },
  sealed: Uint8Array,
): Uint8Array | undefined => {
  if (sealed.length < HPKE_OVERHEAD_BYTES) return undefined
  const enc = sealed.slice(0, X25519_BYTES)
  let dh: Uint8Array
  try {
    dh = agree(secret, enc)
  } catch {
    return undefined
  }
  const { key, nonce } = schedule(dh, enc, x25519PublicKey(secret), info)
  try {
    const keyed = createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: TAG_BYTES })
    keyed.setAAD(aad, { plaintextLength: sealed.length - HPKE_OVERHEAD_BYTES })
    keyed.setAuthTag(sealed.subarray(-TAG_BYTES))
    return decipher(keyed, sealed.subarray(X25519_BYTES, -TAG_BYTES))
  } finally {
    dh.fill(0)
    key.fill(0)
  }
}
