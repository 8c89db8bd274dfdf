/** Whether somebody signed something. Signs and records nothing. */
import type { Call } from '../domain/call.ts'
import { invalidField, isFailure } from '../domain/failure.ts'
import { formatEvmAddress, parseEvmAddress } from '../payload/address.ts'
import { checkDigest } from '../payload/digest.ts'
import { isEd25519Signature } from '../payload/ed25519-signature.ts'
import { examine } from '../payload/examine.ts'
import { parseMessage } from '../payload/message.ts'
import { recoverSigner } from '../payload/recover.ts'
import type { SigningContent } from '../payload/signing-payload.ts'
import type { Wallet } from '../vault/wallets.ts'
import { authorize } from '../signing/authorize.ts'
import { parsePresentedSignature } from '../signing/presented-signature.ts'
import { inputOf, type MessageContent, typedDataOf } from '../signing/requests.ts'
import { resolveWallet, resolveWalletOfKind } from '../signing/resolve-wallet.ts'
import type { SignNeeds } from '../signing/sign.ts'
import type { Chains } from '../chain/chains.ts'
import { verifyContractSignature } from '../chain/contract-signature.ts'

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
  /** Of `[[chain]]`, for signers that may be contract accounts; undefined: externally owned accounts only. */
  readonly network: string | undefined
}

export type Verified = {
  readonly valid: boolean
  readonly signerKind: 'eoa' | 'ed25519' | 'contract' | 'counterfactual'
  readonly recoveredAddress: string | undefined
  /** 32 bytes; empty for Ed25519. */
  readonly digest: Uint8Array
  /** At which a contract account was asked. */
  readonly block: bigint | undefined
}

export type VerifyNeeds = SignNeeds & { readonly chains: Chains }

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
 * Whether an externally owned account, an Ed25519 wallet of the project or, with a `network`, a contract account signed
 * this. Refuses as `resolveWallet` and `examine` do; SIGNATURE_MALFORMED; CHAIN_NOT_CONFIGURED, CHAIN_UNAVAILABLE,
 * CHAIN_DISAGREEMENT.
 */
export const verifySignature = async (needs: VerifyNeeds, call: Call, asked: VerifyRequest): Promise<Verified> => {
  const { signer, signature } = asked
  const { read } = needs.vault
  const content = verifiedContent(asked.content)
  if (signer.kind === 'address') {
    authorize(read, needs, call, 'wallet:read')
    return verifyEvm(needs, call, content, asked, signer.address)
  }
  const wallet = findWallet(needs, call, signer.walletRef, content)
  authorize(read, needs, call, 'wallet:read', wallet.walletId)
  if (wallet.keyType !== 'ed25519') return verifyEvm(needs, call, content, asked, wallet.address)
  // No account of Solana's has code that judges signatures; a chain that is not there is missed all the same.
  if (asked.network !== undefined) needs.chains.solana(asked.network)
  const message = content.kind === 'message' ? content.message : new Uint8Array(0)
  const valid = content.kind === 'message' && isEd25519Signature(signature, message, wallet.publicKey)
  return { valid, signerKind: 'ed25519', recoveredAddress: undefined, digest: new Uint8Array(0), block: undefined }
}

const verifyEvm = async (
  needs: VerifyNeeds,
  { signal }: Call,
  content: SigningContent,
  { signature, network }: VerifyRequest,
  expected: string,
): Promise<Verified> => {
  const address = parseEvmAddress(expected)
  if (address === undefined) {
    throw invalidField('address', 'is not an EVM address')
  }
  // Before anything is computed: a chain that is not there is not only missed where it is needed.
  const chain = network === undefined ? undefined : needs.chains.evm(network)
  const { digest } = examine(content)
  const signer = await recover(digest, signature, chain !== undefined)
  const recoveredAddress = signer === undefined ? undefined : formatEvmAddress(signer)
  const eoa = { valid: recoveredAddress === formatEvmAddress(address), signerKind: 'eoa' as const, recoveredAddress, digest, block: undefined }
  if (eoa.valid || chain === undefined) return eoa
  const verdict = await verifyContractSignature(chain, address, digest, signature, signal)
  if (verdict.kind === 'none') return { ...eoa, block: verdict.block }
  const signerKind = verdict.kind === 'erc1271' ? 'contract' : 'counterfactual'
  return { ...eoa, valid: verdict.valid, signerKind, block: verdict.block }
}

/** A contract account's signature has whatever form it likes: it is no externally owned account's, and no mistake. */
const recover = async (digest: Uint8Array, signature: Uint8Array, isMaybeContract: boolean): Promise<Uint8Array | undefined> => {
  try {
    const presented = parsePresentedSignature(signature)
    return presented === undefined ? undefined : await recoverSigner(digest, presented)
  } catch (error) {
    if (isMaybeContract && isFailure(error) && error.reason === 'SIGNATURE_MALFORMED') return undefined
    throw error
  }
}
