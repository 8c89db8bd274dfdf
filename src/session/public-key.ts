/** Public halves of session keys: is it one, and what is it called. */
import { createPublicKey, ECDH } from 'node:crypto'
import { encodeBase58 } from '../domain/base58.ts'
import { evmAddressOfPublicKey, formatEvmAddress } from '../payload/address.ts'
import type { SessionScheme } from '../vault/session-keys.ts'

/** 65 bytes. @throws for what is no point. */
export const decompressPublicKey = (publicKey: Uint8Array): Buffer =>
  ECDH.convertKey(publicKey, 'secp256k1', undefined, undefined, 'uncompressed')

const isSecp256k1 = (bytes: Uint8Array): boolean => {
  if (bytes.length !== 33) return false
  try {
    decompressPublicKey(bytes)
    return true
  } catch {
    return false
  }
}

const isEd25519 = (bytes: Uint8Array): boolean => {
  if (bytes.length !== 32) return false
  try {
    createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(bytes).toString('base64url') }, format: 'jwk' })
    return true
  } catch {
    return false
  }
}

export const isPublicKey = (scheme: SessionScheme, bytes: Uint8Array): boolean => {
  if (scheme === 'hmac-sha256') return bytes.length === 0
  return scheme === 'secp256k1' ? isSecp256k1(bytes) : isEd25519(bytes)
}

/** EVM: EIP-55. Ed25519: base58. */
export const sessionAddressOf = (scheme: SessionScheme, publicKey: Uint8Array): string => {
  if (scheme === 'hmac-sha256') return ''
  if (scheme === 'ed25519') return encodeBase58(publicKey)
  return formatEvmAddress(evmAddressOfPublicKey(new Uint8Array(decompressPublicKey(publicKey))))
}
