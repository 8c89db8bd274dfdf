/** Whether somebody signed something. Signs and records nothing. */
import type { Call } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import { formatEvmAddress, parseEvmAddress } from '../payload/address.ts'
import { checkDigest } from '../payload/digest.ts'
import { isEd25519Signature } from '../payload/ed25519-signature.ts'
import { examine } from '../payload/examine.ts'
import { parseMessage } from '../payload/message.ts'
import { recoverSigner } from '../payload/recover.ts'
import type { SigningContent } from '../payload/signing-payload.ts'
import type { Wallet } from '../vault/wallets.ts'
import { authorize } from './authorize.ts'
import { parsePresentedSignature } from './presented-signature.ts'
import { inputOf, type MessageContent, typedDataOf } from './requests.ts'
import { resolveWallet, resolveWalletOfKind } from './resolve-wallet.ts'
import type { SignNeeds } from './sign.ts'

export type VerifiedContent =
  | MessageContent
  | { readonly kind: 'typed_data'; readonly json: string }
  | { readonly kind: 'digest'; readonly digest: Uint8Array }

export type VerifyRequest = {
  readonly signer:
    | { readonly kind: 'address'; readonly address: string }
    | { readonly kind: 'wallet'; readonly walletRef: string }
  readonly content: VerifiedContent
  readonly signature: Uint8Array
}

export type Verified = {
  readonly valid: boolean
  readonly signerKind: 'eoa' | 'ed25519'
  readonly recoveredAddress: string | undefined
  /** 32 bytes; empty for Ed25519. */
  readonly digest: Uint8Array
}

const verifiedContent = (content: VerifiedContent): SigningContent => {
  if (content.kind === 'typed_data') return typedDataOf(content.json)
  if (content.kind === 'digest') return { kind: 'digest', digest: checkDigest(content.digest) }
  return parseMessage(inputOf(content))
}

/** Typed data and digests are signed by secp256k1 wallets only. */
const findWallet = (needs: SignNeeds, call: Call, walletRef: string, { kind }: SigningContent): Wallet => {
  const { read } = needs.vault
  if (kind === 'message') return resolveWallet(read, call.caller, walletRef)
  return resolveWalletOfKind(read, call.caller, walletRef, { keyType: 'secp256k1', operation: 'VerifySignature of this' })
}

/**
 * Whether an externally owned account, or an Ed25519 wallet of the project, signed this. Refuses as `resolveWallet`
 * and `examine` do; SIGNATURE_MALFORMED.
 */
export const verifySignature = async (
  needs: SignNeeds,
  call: Call,
  { signer, content: asked, signature }: VerifyRequest,
): Promise<Verified> => {
  const { read } = needs.vault
  const content = verifiedContent(asked)
  if (signer.kind === 'address') {
    authorize(read, needs, call, 'wallet:read')
    return verifyEvm(content, signature, signer.address)
  }
  const wallet = findWallet(needs, call, signer.walletRef, content)
  authorize(read, needs, call, 'wallet:read', wallet.walletId)
  if (wallet.keyType !== 'ed25519') return verifyEvm(content, signature, wallet.address)
  const message = content.kind === 'message' ? content.message : new Uint8Array(0)
  const valid = content.kind === 'message' && isEd25519Signature(signature, message, wallet.publicKey)
  return { valid, signerKind: 'ed25519', recoveredAddress: undefined, digest: new Uint8Array(0) }
}

const verifyEvm = async (content: SigningContent, signature: Uint8Array, expected: string): Promise<Verified> => {
  const address = parseEvmAddress(expected)
  if (address === undefined) {
    throw failure('INVALID_REQUEST', { violations: [{ field: 'address', description: 'is not an EVM address' }] })
  }
  const { digest } = examine(content)
  const presented = parsePresentedSignature(signature)
  const signer = presented === undefined ? undefined : await recoverSigner(digest, presented)
  const recoveredAddress = signer === undefined ? undefined : formatEvmAddress(signer)
  return { valid: recoveredAddress === formatEvmAddress(address), signerKind: 'eoa', recoveredAddress, digest }
}
