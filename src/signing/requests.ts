/** From what a caller asks to what is signed: one function an RPC. Everything goes through `sign`. */
import type { Call } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import { formatEvmAddress, parseEvmAddress } from '../payload/address.ts'
import { parseAuthorization } from '../payload/authorization.ts'
import { checkDigest } from '../payload/digest.ts'
import { examine } from '../payload/examine.ts'
import { type MessageInput, parseFormattedDigest, parseMessage } from '../payload/message.ts'
import { recoverSigner } from '../payload/recover.ts'
import type { SigningContent } from '../payload/signing-payload.ts'
import { attachSignature, encodeUnsignedTransaction, type EvmTransactionType } from '../payload/transaction.ts'
import { type EvmTransactionFields, parseTransactionFields } from '../payload/transaction-fields.ts'
import { authorize } from './authorize.ts'
import { parsePresentedSignature } from './presented-signature.ts'
import { resolveWallet } from './resolve-wallet.ts'
import { sign, type Signed, type SignNeeds } from './sign.ts'

export type MessageContent =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'data'; readonly data: Uint8Array }

/** Type names as callers know them, and as the payload ring does. */
const TRANSACTION_TYPES = {
  legacy: 'legacy',
  access_list: 'access-list',
  dynamic_fee: 'dynamic-fee',
  blob: 'blob',
  set_code: 'set-code',
} as const satisfies { readonly [name: string]: EvmTransactionType }

type Signature = Signed['signature']
export type SignedAuthorization = {
  readonly chainId: bigint
  readonly address: string
  readonly nonce: bigint
  readonly signature: Signature
}

export type RequestedTransaction = {
  readonly type: keyof typeof TRANSACTION_TYPES
  readonly chainId: bigint
  readonly nonce: bigint
  readonly gasLimit: bigint
  readonly gasPrice: bigint | undefined
  readonly maxFeePerGas: bigint | undefined
  readonly maxPriorityFeePerGas: bigint | undefined
  readonly to: string | undefined
  readonly value: bigint | undefined
  readonly data: Uint8Array
  readonly accessList: readonly { readonly address: string; readonly storageKeys: readonly Uint8Array[] }[]
  readonly maxFeePerBlobGas: bigint | undefined
  readonly blobVersionedHashes: readonly Uint8Array[]
  readonly authorizationList: readonly SignedAuthorization[]
}

export type TransactionContent =
  | { readonly kind: 'evm_unsigned'; readonly unsigned: Uint8Array }
  | { readonly kind: 'evm'; readonly fields: RequestedTransaction }
  | { readonly kind: 'solana_message'; readonly message: Uint8Array }

const inputOf = (content: MessageContent): MessageInput =>
  content.kind === 'text' ? { text: content.text } : { data: content.data }

const typedDataOf = (json: string): SigningContent => ({ kind: 'typed-data', json: new Uint8Array(Buffer.from(json, 'utf8')) })

/** EIP-191; with `isFormatted` a digest, under the permission for digests. */
export const signMessage = (
  needs: SignNeeds,
  call: Call,
  args: { readonly walletRef: string; readonly content: MessageContent; readonly isFormatted: boolean },
): Promise<Signed> => {
  const input = inputOf(args.content)
  const content = args.isFormatted ? parseFormattedDigest(input) : parseMessage(input)
  return sign(needs, call, { walletRef: args.walletRef, method: 'SignMessage', content })
}

export const signTypedData = (
  needs: SignNeeds,
  call: Call,
  args: { readonly walletRef: string; readonly json: string },
): Promise<Signed> =>
  sign(needs, call, {
    walletRef: args.walletRef,
    method: 'SignTypedData',
    content: typedDataOf(args.json),
    keyType: 'secp256k1',
  })

export const signDigest = (
  needs: SignNeeds,
  call: Call,
  args: { readonly walletRef: string; readonly digest: Uint8Array },
): Promise<Signed> =>
  sign(needs, call, {
    walletRef: args.walletRef,
    method: 'SignDigest',
    content: { kind: 'digest', digest: checkDigest(args.digest) },
    keyType: 'secp256k1',
  })

export const signTransaction = async (
  needs: SignNeeds,
  call: Call,
  args: { readonly walletRef: string; readonly transaction: TransactionContent },
): Promise<Signed & { readonly signedTransaction: Uint8Array; readonly transactionHash: Uint8Array }> => {
  const { transaction } = args
  if (transaction.kind === 'solana_message') {
    throw failure('KEY_TYPE_UNSUPPORTED', { keyType: 'KEY_TYPE_ED25519', operation: 'SignTransaction' })
  }
  const unsigned =
    transaction.kind === 'evm_unsigned'
      ? transaction.unsigned
      : encodeUnsignedTransaction(parseTransactionFields(fieldsOf(transaction.fields)))
  const signed = await sign(needs, call, {
    walletRef: args.walletRef,
    method: 'SignTransaction',
    content: { kind: 'transaction', unsigned },
    keyType: 'secp256k1',
  })
  const decoded = signed.examination.transaction
  if (decoded === undefined) throw new Error('assertion: a transaction was decoded')
  const { signed: signedTransaction, hash } = attachSignature(decoded, signed.signature)
  return { ...signed, signedTransaction, transactionHash: hash }
}

export const signAuthorization = async (
  needs: SignNeeds,
  call: Call,
  args: { readonly walletRef: string; readonly chainId: bigint; readonly address: string; readonly nonce: bigint },
): Promise<Signed & { readonly authorization: SignedAuthorization }> => {
  const { walletRef, chainId, nonce } = args
  const { address } = parseAuthorization({ chainId, address: args.address, nonce })
  const content: SigningContent = { kind: 'authorization', chainId, address, nonce }
  const signed = await sign(needs, call, { walletRef, method: 'SignAuthorization', content, keyType: 'secp256k1' })
  const { signature } = signed
  return { ...signed, authorization: { chainId, address: formatEvmAddress(address), nonce, signature } }
}

const amount = (value: bigint | undefined): { readonly text: string } | undefined =>
  value === undefined ? undefined : { text: value.toString() }

/** Absent members stay absent: the payload ring refuses a field that a type does not have. */
const fieldsOf = (fields: RequestedTransaction): EvmTransactionFields => {
  const { type, chainId, nonce, gasLimit, to, data, accessList, blobVersionedHashes, authorizationList } = fields
  const gasPrice = amount(fields.gasPrice)
  const maxFeePerGas = amount(fields.maxFeePerGas)
  const maxPriorityFeePerGas = amount(fields.maxPriorityFeePerGas)
  const value = amount(fields.value)
  const maxFeePerBlobGas = amount(fields.maxFeePerBlobGas)
  return {
    type: TRANSACTION_TYPES[type],
    chainId,
    nonce,
    gasLimit,
    data,
    accessList,
    blobVersionedHashes,
    ...(gasPrice && { gasPrice: gasPrice.text }),
    ...(maxFeePerGas && { maxFeePerGas: maxFeePerGas.text }),
    ...(maxPriorityFeePerGas && { maxPriorityFeePerGas: maxPriorityFeePerGas.text }),
    ...(to !== undefined && { to }),
    ...(value && { value: value.text }),
    ...(maxFeePerBlobGas && { maxFeePerBlobGas: maxFeePerBlobGas.text }),
    authorizationList: authorizationList.map(({ signature, ...rest }) => ({ ...rest, ...signature })),
  }
}

export type VerifiedContent =
  | MessageContent
  | { readonly kind: 'typed_data'; readonly json: string }
  | { readonly kind: 'digest'; readonly digest: Uint8Array }

const verifiedContent = (content: VerifiedContent): SigningContent => {
  if (content.kind === 'typed_data') return typedDataOf(content.json)
  if (content.kind === 'digest') return { kind: 'digest', digest: checkDigest(content.digest) }
  return parseMessage(inputOf(content))
}

/** Whether an externally owned account signed this. Signs and records nothing. */
export const verifySignature = async (
  needs: SignNeeds,
  call: Call,
  args: {
    readonly signer:
      | { readonly kind: 'address'; readonly address: string }
      | { readonly kind: 'wallet'; readonly walletRef: string }
    readonly content: VerifiedContent
    readonly signature: Uint8Array
  },
): Promise<{ readonly valid: boolean; readonly recoveredAddress: string | undefined; readonly digest: Uint8Array }> => {
  const { read } = needs.vault
  let expected: string
  if (args.signer.kind === 'wallet') {
    const wallet = resolveWallet(read, call.caller.projectId, args.signer.walletRef, 'secp256k1')
    authorize(read, needs, call, 'wallet:read', wallet.walletId)
    expected = wallet.address
  } else {
    authorize(read, needs, call, 'wallet:read')
    expected = args.signer.address
  }
  const address = parseEvmAddress(expected)
  if (address === undefined) {
    throw failure('INVALID_REQUEST', { violations: [{ field: 'address', description: 'is not an EVM address' }] })
  }
  const { digest } = examine(verifiedContent(args.content))
  const presented = parsePresentedSignature(args.signature)
  const signer = presented === undefined ? undefined : await recoverSigner(digest, presented)
  const recoveredAddress = signer === undefined ? undefined : formatEvmAddress(signer)
  return { valid: recoveredAddress === formatEvmAddress(address), recoveredAddress, digest }
}
