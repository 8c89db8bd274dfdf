/** What a wallet is asked to sign, read as its kind of key reads it; and the rounds that its kind of key takes. */
import type { ReadyPresignature } from '../party/initiator.ts'
import { intentDigestOfMessage } from '../party/intent-digest.ts'
import type { SigningEngine } from '../party/signing-engine.ts'
import { examineEd25519, type Ed25519Examination } from '../payload/examine-ed25519.ts'
import { examine, type Examination } from '../payload/examine.ts'
import type { SigningContent } from '../payload/signing-payload.ts'
import type { Wallet } from '../vault/wallets.ts'

/** `digest`, 32 bytes, stands for what is signed in the intent row and the audit row. */
export type Examined =
  | ({ readonly keyType: 'secp256k1' } & Examination)
  | ({ readonly keyType: 'ed25519'; readonly digest: Uint8Array } & Ed25519Examination)

export type EcdsaSignature = { readonly r: Uint8Array; readonly s: Uint8Array; readonly yParity: 0 | 1 }
/** R ‖ S, 64 bytes. */
export type Ed25519Signature = { readonly raw: Uint8Array }

/**
 * What came out of the rounds, verified against the wallet's public key by the thread that finished them. `digest` is
 * what the caller hears: the 32 bytes that ECDSA signed; empty for Ed25519, which signs the message itself.
 */
export type Made = { readonly digest: Uint8Array } & (
  | { readonly keyType: 'secp256k1'; readonly examined: Examination; readonly signature: EcdsaSignature }
  | { readonly keyType: 'ed25519'; readonly examined: Ed25519Examination; readonly signature: Ed25519Signature }
)

/** Refuses as `examine` or, for an Ed25519 wallet, `examineEd25519`. */
export const examineFor = ({ keyType, publicKey }: Wallet, content: SigningContent): Examined => {
  if (keyType === 'secp256k1') return { keyType, ...examine(content) }
  const examination = examineEd25519(content, publicKey)
  return { keyType, digest: intentDigestOfMessage(examination.message), ...examination }
}

/**
 * The rounds over a presignature, which is gone whatever happens, to be run once the intent row is durable. The thread
 * that holds the share may begin before that with what needs no share, and lets nothing out.
 */
export const prepareRounds = (
  engine: Pick<SigningEngine, 'prepareSign' | 'sign' | 'signEd25519'>,
  examined: Examined,
  { walletId, presigId }: ReadyPresignature,
  request: { readonly reqId: Uint8Array; readonly payload: Uint8Array },
): (() => Promise<Made>) => {
  if (examined.keyType === 'ed25519') {
    return async () => {
      const raw = await engine.signEd25519({ walletId, presigId, ...request, message: examined.message })
      return { keyType: 'ed25519', digest: new Uint8Array(0), examined, signature: { raw } }
    }
  }
  const { digest } = examined
  const job = { walletId, presigId, ...request, digest, path: [] }
  engine.prepareSign(job)
  return async () => {
    const { r, s, recid } = await engine.sign(job)
    return { keyType: 'secp256k1', digest, examined, signature: { r, s, yParity: recid === 1 ? 1 : 0 } }
  }
}

/** r ‖ s or R ‖ S, 64 bytes. */
export const signatureBytes = (made: Made): Uint8Array =>
  made.keyType === 'ed25519' ? made.signature.raw : Buffer.concat([made.signature.r, made.signature.s])
