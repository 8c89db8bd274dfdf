/**
 * Plain ECDSA on secp256k1 through libsecp256k1, for keys that one party holds whole: session keys. Nonces are those of
 * RFC 6979 with SHA-256, s is low (BIP 62), and a signature that does not verify never leaves. Secrets are 32 bytes
 * big-endian in a buffer of their own; the caller wipes them.
 */
import { openBinding } from './binding.ts'

const binding = openBinding()
const SECRET_BYTES = 32
const DIGEST_BYTES = 32
const COMPRESSED = 33
const UNCOMPRESSED = 65
const V_FIRST = 27
/** What ethereum addresses have room for: r below q always, so the recovery id is 0 or 1. */
const RECIDS = 2

/** 1 to q − 1. */
export function isSecretKey(secret: Uint8Array): boolean {
  return secret.length === SECRET_BYTES && binding.privateKeyVerify(secret)
}

/** 33 bytes. @throws for what is not `isSecretKey`. */
export function publicKeyOf(secret: Uint8Array): Uint8Array {
  return binding.publicKeyCreate(secret, true, new Uint8Array(COMPRESSED))
}

/** 65 bytes: verification of many signatures saves a square root each. @throws for what is no point. */
export function uncompressedKey(publicKey: Uint8Array): Uint8Array {
  return binding.publicKeyConvert(publicKey, false, new Uint8Array(UNCOMPRESSED))
}

/**
 * r ‖ s ‖ v with v 27 or 28, verified under `publicKey` (33 or 65 bytes, of this secret).
 * @throws when the digest has not 32 bytes, when the signature does not verify (a fault of the machine), and for r ≥ q,
 * which nobody has ever seen.
 */
export function signRecoverable(digest: Uint8Array, secret: Uint8Array, publicKey: Uint8Array): Uint8Array {
  if (digest.length !== DIGEST_BYTES) throw new RangeError('a digest has 32 bytes')
  const out = new Uint8Array(65)
  const signature = new Uint8Array(64)
  const { recid } = binding.ecdsaSign(digest, secret, {}, signature)
  if (recid >= RECIDS) throw new Error('the signature has no recovery id of one bit')
  if (!binding.ecdsaVerify(signature, digest, publicKey)) throw new Error('the signature does not verify')
  out.set(signature, 0)
  out[64] = V_FIRST + recid
  return out
}
