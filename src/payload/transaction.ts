import { failure } from '../domain/failure.ts'
import { MAX_CHAIN_ID, MAX_NONCE } from './authorization.ts'
import { bigintToMinimalBytes, bytesToBigint, concatBytes } from './bytes.ts'
import { SECP256K1_ORDER } from './digest.ts'
import { keccak256 } from './keccak.ts'
import type { RlpItem } from './rlp.ts'
import { encodeRlp } from './rlp.ts'
import type { EvmSignature } from './signature.ts'
import { checkSignature } from './signature.ts'

/** Unsigned EVM transactions as values, and their one encoding. Decoding is in decode-transaction.ts. */
export type AccessListEntry = { readonly address: Uint8Array; readonly storageKeys: readonly Uint8Array[] }

/** An EIP-7702 authorization with its signature, as a set-code transaction carries it. */
export type SignedAuthorization = {
  readonly chainId: bigint
  readonly address: Uint8Array
  readonly nonce: bigint
  readonly yParity: bigint
  readonly r: bigint
  readonly s: bigint
}

type Common = {
  readonly chainId: bigint
  readonly nonce: bigint
  readonly gasLimit: bigint
  /** 20 bytes; absent when the transaction creates a contract. */
  readonly to: Uint8Array | undefined
  readonly value: bigint
  readonly data: Uint8Array
}

type DynamicFee = Common & {
  readonly maxPriorityFeePerGas: bigint
  readonly maxFeePerGas: bigint
  readonly accessList: readonly AccessListEntry[]
}

export type EvmTransaction =
  | (Common & { readonly type: 'legacy'; readonly gasPrice: bigint })
  | (Common & {
      readonly type: 'access-list'
      readonly gasPrice: bigint
      readonly accessList: readonly AccessListEntry[]
    })
  | (DynamicFee & { readonly type: 'dynamic-fee' })
  | (DynamicFee & {
      readonly type: 'blob'
      readonly maxFeePerBlobGas: bigint
      readonly blobVersionedHashes: readonly Uint8Array[]
    })
  | (DynamicFee & { readonly type: 'set-code'; readonly authorizationList: readonly SignedAuthorization[] })

export type EvmTransactionType = EvmTransaction['type']

/** EIP-2718 type bytes; a legacy transaction has none. */
export const TYPE_BYTES = { 'access-list': 1, 'dynamic-fee': 2, blob: 3, 'set-code': 4 } as const

const U64_MAX = (1n << 64n) - 1n
const U256_MAX = (1n << 256n) - 1n
const MAX_BLOBS = 64
const MAX_AUTHORIZATIONS = 256

export const refuse = (field: string, why: string) => failure('TRANSACTION_INVALID', { field, why })

const checkRange = (field: string, value: bigint, max: bigint, min = 0n): void => {
  if (value < min || value > max) throw refuse(field, 'is out of range')
}

const checkLength = (field: string, bytes: Uint8Array, length: number): void => {
  if (bytes.length !== length) throw refuse(field, `is not ${length} bytes`)
}

const checkAccessList = (entries: readonly AccessListEntry[]): void => {
  for (const [index, { address, storageKeys }] of entries.entries()) {
    checkLength(`access_list[${index}].address`, address, 20)
    for (const key of storageKeys) checkLength(`access_list[${index}].storage_keys`, key, 32)
  }
}

const checkBlobs = (hashes: readonly Uint8Array[]): void => {
  const field = 'blob_versioned_hashes'
  if (hashes.length === 0) throw refuse(field, 'is empty')
  if (hashes.length > MAX_BLOBS) throw refuse(field, `has more than ${MAX_BLOBS} entries`)
  for (const hash of hashes) {
    checkLength(field, hash, 32)
    if (hash[0] !== 1) throw refuse(field, 'has a version that is not 1')
  }
}

const checkAuthorizations = (list: readonly SignedAuthorization[]): void => {
  if (list.length === 0) throw refuse('authorization_list', 'is empty')
  if (list.length > MAX_AUTHORIZATIONS)
    throw refuse('authorization_list', `has more than ${MAX_AUTHORIZATIONS} entries`)
  for (const [index, { chainId, address, nonce, yParity, r, s }] of list.entries()) {
    const at = (name: string) => `authorization_list[${index}].${name}`
    checkRange(at('chain_id'), chainId, MAX_CHAIN_ID)
    checkLength(at('address'), address, 20)
    checkRange(at('nonce'), nonce, MAX_NONCE)
    checkRange(at('y_parity'), yParity, 1n)
    checkRange(at('r'), r, SECP256K1_ORDER - 1n, 1n)
    checkRange(at('s'), s, SECP256K1_ORDER / 2n, 1n)
  }
}

const checkFees = (transaction: EvmTransaction): void => {
  if ('gasPrice' in transaction) {
    checkRange('gas_price', transaction.gasPrice, U256_MAX)
    return
  }
  checkRange('max_fee_per_gas', transaction.maxFeePerGas, U256_MAX)
  if (transaction.maxPriorityFeePerGas > transaction.maxFeePerGas)
    throw refuse('max_priority_fee_per_gas', 'is above max_fee_per_gas')
}

/**
 * Refuses (TRANSACTION_INVALID, naming the field) what no chain accepts or nobody can mean: chain id 0 or above
 * EIP-2294's bound, a nonce at EIP-2681's bound, gas over 64 bits, amounts over 256 bits, a priority fee above the
 * fee, a contract creation without code or of a type that cannot create, no blobs or authorizations where the type
 * is for them, blob hashes of another version, authorizations with values out of range or high s.
 */
export const checkTransaction = (transaction: EvmTransaction): EvmTransaction => {
  const { type, chainId, nonce, gasLimit, to, value, data } = transaction
  checkRange('chain_id', chainId, MAX_CHAIN_ID, 1n)
  checkRange('nonce', nonce, MAX_NONCE)
  checkRange('gas_limit', gasLimit, U64_MAX)
  checkRange('value', value, U256_MAX)
  if (to !== undefined) checkLength('to', to, 20)
  else if (type === 'blob' || type === 'set-code') throw refuse('to', `is missing in a ${type} transaction`)
  else if (data.length === 0) throw refuse('data', 'is empty in a contract creation')
  checkFees(transaction)
  if (type !== 'legacy') checkAccessList(transaction.accessList)
  if (type === 'blob') {
    checkRange('max_fee_per_blob_gas', transaction.maxFeePerBlobGas, U256_MAX)
    checkBlobs(transaction.blobVersionedHashes)
  }
  if (type === 'set-code') checkAuthorizations(transaction.authorizationList)
  return transaction
}

const integer = bigintToMinimalBytes
const NONE = new Uint8Array()

const accessListItems = (entries: readonly AccessListEntry[]): RlpItem =>
  entries.map(({ address, storageKeys }) => [address, storageKeys])

const authorizationItems = ({ chainId, address, nonce, yParity, r, s }: SignedAuthorization): RlpItem => [
  integer(chainId),
  address,
  integer(nonce),
  integer(yParity),
  integer(r),
  integer(s),
]

const callItems = ({ gasLimit, to, value, data }: Common): readonly RlpItem[] => [
  integer(gasLimit),
  to ?? NONE,
  integer(value),
  data,
]

/**
 * The fields before the signature, in the order of each type's EIP; for legacy without EIP-155's three at the end.
 */
const fieldItems = (transaction: EvmTransaction): readonly RlpItem[] => {
  const { type, chainId, nonce } = transaction
  const call = callItems(transaction)
  if (type === 'legacy') return [integer(nonce), integer(transaction.gasPrice), ...call]
  const accessList = accessListItems(transaction.accessList)
  if (type === 'access-list')
    return [integer(chainId), integer(nonce), integer(transaction.gasPrice), ...call, accessList]
  const { maxPriorityFeePerGas, maxFeePerGas } = transaction
  const fees = [integer(maxPriorityFeePerGas), integer(maxFeePerGas)]
  const shared = [integer(chainId), integer(nonce), ...fees, ...call, accessList]
  if (type === 'blob') return [...shared, integer(transaction.maxFeePerBlobGas), transaction.blobVersionedHashes]
  return type === 'set-code' ? [...shared, transaction.authorizationList.map(authorizationItems)] : shared
}

const encode = (transaction: EvmTransaction, signatureItems: readonly RlpItem[]): Uint8Array => {
  const list = encodeRlp([...fieldItems(transaction), ...signatureItems])
  return transaction.type === 'legacy' ? list : concatBytes(Uint8Array.of(TYPE_BYTES[transaction.type]), list)
}

/**
 * The bytes whose Keccak-256 is signed: EIP-155 for legacy, EIP-2718 for the others. Checks as `checkTransaction`.
 */
export const encodeUnsignedTransaction = (transaction: EvmTransaction): Uint8Array =>
  encode(
    checkTransaction(transaction),
    transaction.type === 'legacy' ? [integer(transaction.chainId), NONE, NONE] : [],
  )

export type SignedTransaction = {
  /** As `eth_sendRawTransaction` takes it; a blob transaction without its sidecar. */
  readonly signed: Uint8Array
  /** The 32 bytes by which the network knows it. */
  readonly hash: Uint8Array
}

/** The transaction with its signature. Refuses what `checkTransaction` and `checkSignature` refuse. */
export const attachSignature = (transaction: EvmTransaction, signature: EvmSignature): SignedTransaction => {
  const { chainId, type } = checkTransaction(transaction)
  const { r, s, yParity } = checkSignature(signature)
  const v = type === 'legacy' ? chainId * 2n + 35n + BigInt(yParity) : BigInt(yParity)
  const signed = encode(transaction, [integer(v), integer(bytesToBigint(r)), integer(bytesToBigint(s))])
  return { signed, hash: keccak256(signed) }
}
