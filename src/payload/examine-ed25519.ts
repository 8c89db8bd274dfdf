import { failure } from '../domain/failure.ts'
import type { SigningFacts } from './facts.ts'
import { describeMessage } from './examine.ts'
import type { SigningContent, SigningPayload } from './signing-payload.ts'
import { describeSolanaMessage } from './solana-facts.ts'
import type { SolanaMessage } from './solana-message.ts'
import { decodeSolanaMessage, looksLikeSolanaMessage } from './solana-message.ts'
import { isSolanaOffchain, readSolanaOffchain } from './solana-offchain.ts'
import { signerSlot } from './solana-transaction.ts'

export type Ed25519Examination = {
  /** The bytes to sign. Ed25519 hashes them itself: there is no digest. */
  readonly message: Uint8Array
  readonly facts: SigningFacts
  /** The decoded message of a transaction, to attach the signature to. */
  readonly solana?: SolanaMessage
}

const OPERATIONS: { readonly [K in SigningContent['kind']]?: string } = {
  'typed-data': 'signing typed data',
  transaction: 'signing an EVM transaction',
  authorization: 'signing an EIP-7702 authorization',
  digest: 'signing a digest',
}

const describeOffchain = (bytes: Uint8Array): string => {
  const frame = readSolanaOffchain(bytes)
  if (frame === undefined) return `Solana off-chain message of ${bytes.length} bytes, of an unknown form`
  const { version, applicationDomain, signers, contentBytes } = frame
  const application = applicationDomain === undefined ? '' : ` for application ${applicationDomain}`
  const who = signers.length === 1 ? signers[0] : `${signers.length} signers`
  return `Solana off-chain message v${version}${application}: ${contentBytes} bytes by ${who}`
}

const examineMessage = (message: Uint8Array): Ed25519Examination => {
  if (looksLikeSolanaMessage(message)) throw failure('MESSAGE_IS_TRANSACTION', {})
  const facts = describeMessage(message)
  return { message, facts: isSolanaOffchain(message) ? { ...facts, summary: describeOffchain(message) } : facts }
}

/**
 * What an Ed25519 wallet is asked to sign and what that does; `examine` is its counterpart for secp256k1.
 * Messages are signed as they are, so those that pass for a Solana transaction are refused
 * (MESSAGE_IS_TRANSACTION); a Solana message is decoded strictly (TRANSACTION_INVALID) and has to ask for this
 * wallet's signature. Digests and everything of the EVM's are refused with KEY_TYPE_UNSUPPORTED. Both parties
 * call this; neither takes the other's bytes.
 */
export const examineEd25519 = (content: SigningContent, publicKey: Uint8Array): Ed25519Examination => {
  if (content.kind === 'message') return examineMessage(content.message)
  if (content.kind === 'solana-message') {
    const solana = decodeSolanaMessage(content.message)
    signerSlot(solana, publicKey)
    return { message: content.message, facts: describeSolanaMessage(solana), solana }
  }
  const operation = OPERATIONS[content.kind] ?? content.kind
  throw failure('KEY_TYPE_UNSUPPORTED', { keyType: 'KEY_TYPE_ED25519', operation })
}

/** The bytes that a payload asks an Ed25519 wallet to sign. Refuses as `examineEd25519`. */
export const messageOf = (payload: SigningPayload, publicKey: Uint8Array): Uint8Array =>
  examineEd25519(payload.content, publicKey).message
