/** Public keys as clients hand them in: SPKI in DER, in base64 where it is text. */
import { createPublicKey, type KeyObject } from 'node:crypto'

/** RFC 5480, an uncompressed point on P-256: all of it but the point is the same for every key. */
const P256_PREFIX = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex')
const P256_LENGTH = 91

/** The key, when it is one on P-256 whose DER has no other form; undefined for everything else. */
export const openP256Key = (spki: Uint8Array): KeyObject | undefined => {
  if (spki.length !== P256_LENGTH || !P256_PREFIX.equals(spki.subarray(0, P256_PREFIX.length)) || spki[P256_PREFIX.length] !== 4) return undefined
  try {
    return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  } catch {
    return undefined
  }
}

/** From standard base64 of 124 characters. */
export const parseP256Key = (text: string): { readonly spki: Uint8Array; readonly key: KeyObject } | undefined => {
  if (!/^[A-Za-z0-9+/]{122}==$/.test(text)) return undefined
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) return undefined
  const spki = new Uint8Array(bytes)
  const key = openP256Key(spki)
  return key === undefined ? undefined : { spki, key }
}

/** How an API key that has a public key signs: Ed25519 or P-256. */
export type ApiKeyVerifier = {
  readonly algorithm: 'EdDSA' | 'ES256'
  readonly key: KeyObject
  readonly spki: Uint8Array
}

/** RFC 8410: all of it but the key is the same. */
const ED25519_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')
const ED25519_LENGTH = 44

const openEd25519Key = (spki: Uint8Array): KeyObject | undefined => {
  const isOne = spki.length === ED25519_LENGTH && ED25519_PREFIX.equals(spki.subarray(0, ED25519_PREFIX.length))
  return isOne ? createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' }) : undefined
}

/** From standard base64, Ed25519 or P-256; undefined for everything else. */
export const parseApiKeyVerifier = (text: string): ApiKeyVerifier | undefined => {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) return undefined
  const spki = new Uint8Array(bytes)
  const ed25519 = openEd25519Key(spki)
  if (ed25519 !== undefined) return { algorithm: 'EdDSA', key: ed25519, spki }
  const p256 = openP256Key(spki)
  return p256 === undefined ? undefined : { algorithm: 'ES256', key: p256, spki }
}
