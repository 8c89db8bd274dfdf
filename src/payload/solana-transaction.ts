import { encodeBase58 } from '../domain/base58.ts'
import { failure } from '../domain/failure.ts'
import { concatBytes, equalBytes } from './bytes.ts'
import type { SolanaMessage } from './solana-message.ts'
import { encodeSolanaMessage } from './solana-message.ts'

export type SignedSolanaTransaction = {
  /** As the network takes it, complete when `missing` is empty: compact count, 64 bytes a signer, the message. */
  readonly signed: Uint8Array
  /** The fee payer's signature in base58; absent while that is not there. */
  readonly transactionId?: string
  /** Addresses whose signatures are still zero, in the order of their slots. */
  readonly missing: readonly string[]
}

/** A transaction of one signer, with zeros where its signature will be: what a cluster simulates. */
export const unsignedSolanaTransaction = (message: Uint8Array): Uint8Array => concatBytes(Uint8Array.of(1), new Uint8Array(64), message)

/**
 * The signature slot of a 32-byte public key. Refuses (TRANSACTION_INVALID) a key that the message does not ask
 * for.
 */
export const signerSlot = (message: SolanaMessage, publicKey: Uint8Array): number => {
  const signers = message.staticKeys.slice(0, message.requiredSignatures)
  const slot = signers.findIndex((key) => equalBytes(key, publicKey))
  if (slot < 0)
    throw failure('TRANSACTION_INVALID', { field: 'solana_message', why: 'does not ask for this wallet to sign' })
  return slot
}

/**
 * A Solana transaction with one 64-byte Ed25519 signature in its signer's slot and zeros in the others. The
 * signature is taken as it is: whoever made it has verified it. Refuses as `signerSlot`.
 */
export const attachSolanaSignature = (
  message: SolanaMessage,
  signature: Uint8Array,
  signer: Uint8Array,
): SignedSolanaTransaction => {
  if (signature.length !== 64) throw failure('SIGNATURE_MALFORMED', { why: 'an Ed25519 signature has 64 bytes' })
  const slot = signerSlot(message, signer)
  const { requiredSignatures, staticKeys } = message
  const signatures = new Uint8Array(64 * requiredSignatures)
  signatures.set(signature, 64 * slot)
  const others = staticKeys.slice(0, requiredSignatures).filter((_key, index) => index !== slot)
  return {
    // A packet holds at most 12 signatures, so their count takes one byte.
    signed: concatBytes(Uint8Array.of(requiredSignatures), signatures, encodeSolanaMessage(message)),
    ...(slot === 0 && { transactionId: encodeBase58(signature) }),
    missing: others.map(encodeBase58),
  }
}
