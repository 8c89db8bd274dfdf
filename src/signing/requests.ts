/** From what a caller asks to what is signed: one function an RPC. Everything goes through `sign`. */
import type { Call } from '../domain/call.ts'
import { assert } from '../domain/failure.ts'
import { formatEvmAddress } from '../payload/address.ts'
import { parseAuthorization } from '../payload/authorization.ts'
import { toHex } from '../payload/bytes.ts'
import { checkDigest } from '../payload/digest.ts'
import { type MessageInput, parseFormattedDigest, parseMessage } from '../payload/message.ts'
import { attachSolanaSignature } from '../payload/solana-transaction.ts'
import type { SigningContent } from '../payload/signing-payload.ts'
import { attachSignature, encodeUnsignedTransaction, type EvmTransactionType } from '../payload/transaction.ts'
import { type EvmTransactionFields, parseTransactionFields } from '../payload/transaction-fields.ts'
import type { EcdsaSignature } from './examined.ts'
import { sign, type Signed, type SignNeeds, type SignRequest } from './sign.ts'

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

export type SignedAuthorization = {
  readonly chainId: bigint
  readonly address: string
  readonly nonce: bigint
  readonly signature: EcdsaSignature
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

export const inputOf = (content: MessageContent): MessageInput =>
  content.kind === 'text' ? { text: content.text } : { data: content.data }

export const typedDataOf = (json: string): SigningContent => ({ kind: 'typed-data', json: new Uint8Array(Buffer.from(json, 'utf8')) })

/**
 * secp256k1: EIP-191; with `isFormatted` a digest, under the permission for digests. Ed25519: the bytes themselves;
 * `isFormatted` is refused with KEY_TYPE_UNSUPPORTED.
 */
export const signMessage = (
  needs: SignNeeds,
  call: Call,
  args: { readonly walletRef: string; readonly content: MessageContent; readonly isFormatted: boolean },
): Promise<Signed> => {
  const input = inputOf(args.content)
  const content = args.isFormatted ? parseFormattedDigest(input) : parseMessage(input)
  return sign(needs, call, { walletRef: args.walletRef, method: 'SignMessage', content })
}

type Secp256k1Signed = Extract<Signed, { readonly keyType: 'secp256k1' }>

/** By a secp256k1 wallet: no other counts. */
const signEvm = async (
  needs: SignNeeds,
  call: Call,
  request: Omit<SignRequest, 'keyType'>,
): Promise<Secp256k1Signed> => {
  const signed = await sign(needs, call, { ...request, keyType: 'secp256k1' })
  assert(signed.keyType === 'secp256k1', 'a secp256k1 wallet signed')
  return signed
}

export const signTypedData = (
  needs: SignNeeds,
  call: Call,
  { walletRef, json }: { readonly walletRef: string; readonly json: string },
): Promise<Signed> => signEvm(needs, call, { walletRef, method: 'SignTypedData', content: typedDataOf(json) })

export const signDigest = (
  needs: SignNeeds,
  call: Call,
  { walletRef, digest }: { readonly walletRef: string; readonly digest: Uint8Array },
): Promise<Signed> => {
  const content: SigningContent = { kind: 'digest', digest: checkDigest(digest) }
  return signEvm(needs, call, { walletRef, method: 'SignDigest', content })
}

export type SignedTransaction = Signed & {
  readonly signedTransaction: Uint8Array
  /** How the network names it: EVM 0x and 64 hex digits, Solana base58; '' while the fee payer has not signed. */
  readonly transactionHash: string
}

export const signTransaction = (
  needs: SignNeeds,
  call: Call,
  { walletRef, transaction }: { readonly walletRef: string; readonly transaction: TransactionContent },
): Promise<SignedTransaction> =>
  transaction.kind === 'solana_message'
    ? signSolanaTransaction(needs, call, walletRef, transaction.message)
    : signEvmTransaction(needs, call, walletRef, transaction)

const signEvmTransaction = async (
  needs: SignNeeds,
  call: Call,
  walletRef: string,
  transaction: Exclude<TransactionContent, { readonly kind: 'solana_message' }>,
): Promise<SignedTransaction> => {
  const unsigned =
    transaction.kind === 'evm_unsigned'
      ? transaction.unsigned
      : encodeUnsignedTransaction(parseTransactionFields(fieldsOf(transaction.fields)))
  const signed = await signEvm(needs, call, { walletRef, method: 'SignTransaction', content: { kind: 'transaction', unsigned } })
  const decoded = signed.examined.transaction
  assert(decoded, 'a transaction was decoded')
  const { signed: signedTransaction, hash } = attachSignature(decoded, signed.signature)
  return { ...signed, signedTransaction, transactionHash: toHex(hash) }
}

const signSolanaTransaction = async (
  needs: SignNeeds,
  call: Call,
  walletRef: string,
  message: Uint8Array,
): Promise<SignedTransaction> => {
  const content: SigningContent = { kind: 'solana-message', message }
  const signed = await sign(needs, call, { walletRef, method: 'SignTransaction', content, keyType: 'ed25519' })
  assert(signed.keyType === 'ed25519' && signed.examined.solana, 'an Ed25519 wallet signed a Solana message')
  const { solana } = signed.examined
  const { signed: whole, transactionId } = attachSolanaSignature(solana, signed.signature.raw, signed.wallet.publicKey)
  return { ...signed, signedTransaction: whole, transactionHash: transactionId ?? '' }
}

export const signAuthorization = async (
  needs: SignNeeds,
  call: Call,
  args: { readonly walletRef: string; readonly chainId: bigint; readonly address: string; readonly nonce: bigint },
): Promise<Signed & { readonly authorization: SignedAuthorization }> => {
  const { walletRef, chainId, nonce } = args
  const { address } = parseAuthorization({ chainId, address: args.address, nonce })
  const content: SigningContent = { kind: 'authorization', chainId, address, nonce }
  const signed = await signEvm(needs, call, { walletRef, method: 'SignAuthorization', content })
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
