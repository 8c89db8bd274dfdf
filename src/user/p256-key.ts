/** P-256 public keys as clients hand them in: SPKI (RFC 5480) in DER, in base64 where it is text. */
import { createPublicKey, type KeyObject } from 'node:crypto'

/** SubjectPublicKeyInfo of an uncompressed point on P-256: all of it but the point is the same for every key. */
const PREFIX = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex')
const LENGTH = 91

/** The key, when it is one on P-256 whose DER has no other form; undefined for everything else. */
export const openP256Key = (spki: Uint8Array): KeyObject | undefined => {
  if (spki.length !== LENGTH || !PREFIX.equals(spki.subarray(0, PREFIX.length)) || spki[PREFIX.length] !== 4) return undefined
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
