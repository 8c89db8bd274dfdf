/** How both ciphers of the vault put their tag: 16 bytes behind the ciphertext. */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { CipherGCM, DecipherGCM } from 'node:crypto'

export const TAG_BYTES = 16

/** ciphertext ‖ tag. */
export const sealWith = (cipher: CipherGCM, plaintext: Uint8Array): Uint8Array => {
  const out = new Uint8Array(plaintext.length + TAG_BYTES)
  out.set(cipher.update(plaintext))
  cipher.final()
  out.set(cipher.getAuthTag(), plaintext.length)
  return out
}

/** What `sealWith` sealed; undefined, and nothing of it left, when anything at all differs. */
export const openWith = (decipher: DecipherGCM, sealed: Uint8Array): Uint8Array | undefined => {
  if (sealed.length < TAG_BYTES) return undefined
  const split = sealed.length - TAG_BYTES
  decipher.setAuthTag(sealed.subarray(split))
  const plaintext = decipher.update(sealed.subarray(0, split))
  try {
    decipher.final()
    return plaintext
  } catch {
    plaintext.fill(0)
    return undefined
  }
}

const CHACHA = 'chacha20-poly1305'

/** ChaCha20-Poly1305 without additional data: the key and the nonce (12 bytes) are for this plaintext alone. */
export const sealChaCha = (key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array): Uint8Array =>
  sealWith(createCipheriv(CHACHA, key, nonce, { authTagLength: TAG_BYTES }), plaintext)

export const openChaCha = (key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array): Uint8Array | undefined =>
  openWith(createDecipheriv(CHACHA, key, nonce, { authTagLength: TAG_BYTES }), sealed)
