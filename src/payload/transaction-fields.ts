import { parseEvmAddress } from './address.ts'
import { bytesToBigint } from './bytes.ts'
import type { AccessListEntry, EvmTransaction, EvmTransactionType, SignedAuthorization } from './transaction.ts'
import { checkTransaction, refuse } from './transaction.ts'

/**
 * A transaction as a caller writes it. Amounts are decimal digits in wei, addresses 0x hex; what is absent or
 * empty is 0, none, or the creation of a contract.
 */
export type EvmTransactionFields = {
  readonly type: EvmTransactionType
  readonly chainId: bigint
  readonly nonce: bigint
  readonly gasLimit: bigint
  readonly gasPrice?: string
  readonly maxFeePerGas?: string
  readonly maxPriorityFeePerGas?: string
  readonly to?: string
  readonly value?: string
  readonly data?: Uint8Array
  readonly accessList?: readonly { readonly address: string; readonly storageKeys: readonly Uint8Array[] }[]
  readonly maxFeePerBlobGas?: string
  readonly blobVersionedHashes?: readonly Uint8Array[]
  readonly authorizationList?: readonly SignedAuthorizationFields[]
}

export type SignedAuthorizationFields = {
  readonly chainId: bigint
  readonly address: string
  readonly nonce: bigint
  readonly yParity: number
  readonly r: Uint8Array
  readonly s: Uint8Array
}

const DECIMAL = /^(?:0|[1-9][0-9]{0,77})$/

/** The fields that only some types have, under the names callers know. */
const ONLY_IN = {
  gasPrice: { name: 'gas_price', types: ['legacy', 'access-list'] },
  maxFeePerGas: { name: 'max_fee_per_gas', types: ['dynamic-fee', 'blob', 'set-code'] },
  maxPriorityFeePerGas: { name: 'max_priority_fee_per_gas', types: ['dynamic-fee', 'blob', 'set-code'] },
  accessList: { name: 'access_list', types: ['access-list', 'dynamic-fee', 'blob', 'set-code'] },
  maxFeePerBlobGas: { name: 'max_fee_per_blob_gas', types: ['blob'] },
  blobVersionedHashes: { name: 'blob_versioned_hashes', types: ['blob'] },
  authorizationList: { name: 'authorization_list', types: ['set-code'] },
} as const satisfies { [key: string]: { name: string; types: readonly EvmTransactionType[] } }

const FIELDS_OF_SOME_TYPES = Object.keys(ONLY_IN) as (keyof typeof ONLY_IN)[]

const checkFieldsOfType = (fields: EvmTransactionFields): void => {
  for (const key of FIELDS_OF_SOME_TYPES) {
    const { name, types } = ONLY_IN[key]
    const present = (fields[key]?.length ?? 0) > 0
    if (present && !types.some((type) => type === fields.type))
      throw refuse(name, `has no place in type ${fields.type}`)
  }
}

const parseAmount = (text: string | undefined, field: string): bigint => {
  if (text === undefined || text === '') return 0n
  if (!DECIMAL.test(text)) throw refuse(field, 'is not a decimal amount without sign and leading zeros')
  return BigInt(text)
}

const parseAddress = (text: string, field: string): Uint8Array => {
  const address = parseEvmAddress(text)
  if (address === undefined) throw refuse(field, 'is not an address, or its checksum is wrong')
  return address
}

const parseAccessList = (entries: EvmTransactionFields['accessList']): readonly AccessListEntry[] =>
  (entries ?? []).map(({ address, storageKeys }, index) => ({
    address: parseAddress(address, `access_list[${index}].address`),
    storageKeys,
  }))

const parseSignedAuthorization = (fields: SignedAuthorizationFields, index: number): SignedAuthorization => {
  const { chainId, address, nonce, yParity, r, s } = fields
  const at = `authorization_list[${index}]`
  if (r.length !== 32 || s.length !== 32) throw refuse(at, 'has r or s that is not 32 bytes')
  if (!Number.isInteger(yParity)) throw refuse(`${at}.y_parity`, 'is not an integer')
  return {
    chainId,
    address: parseAddress(address, `${at}.address`),
    nonce,
    yParity: BigInt(yParity),
    r: bytesToBigint(r),
    s: bytesToBigint(s),
  }
}

const parseByType = (fields: EvmTransactionFields): EvmTransaction => {
  const { type, chainId, nonce, gasLimit } = fields
  const to = fields.to === undefined || fields.to === '' ? undefined : parseAddress(fields.to, 'to')
  const value = parseAmount(fields.value, 'value')
  const common = { chainId, nonce, gasLimit, to, value, data: fields.data ?? new Uint8Array() }
  const gasPrice = parseAmount(fields.gasPrice, 'gas_price')
  if (type === 'legacy') return { type, ...common, gasPrice }
  const accessList = parseAccessList(fields.accessList)
  if (type === 'access-list') return { type, ...common, gasPrice, accessList }
  const maxFeePerGas = parseAmount(fields.maxFeePerGas, 'max_fee_per_gas')
  const maxPriorityFeePerGas = parseAmount(fields.maxPriorityFeePerGas, 'max_priority_fee_per_gas')
  const shared = { ...common, maxFeePerGas, maxPriorityFeePerGas, accessList }
  if (type === 'dynamic-fee') return { type, ...shared }
  if (type === 'blob') {
    const maxFeePerBlobGas = parseAmount(fields.maxFeePerBlobGas, 'max_fee_per_blob_gas')
    return { type, ...shared, maxFeePerBlobGas, blobVersionedHashes: fields.blobVersionedHashes ?? [] }
  }
  return { type, ...shared, authorizationList: (fields.authorizationList ?? []).map(parseSignedAuthorization) }
}

/**
 * A transaction from fields. Refuses (TRANSACTION_INVALID, naming the field as callers know it) a field that the
 * type does not have, amounts that are not canonical decimals, addresses with a wrong checksum, and what
 * `checkTransaction` refuses. `encodeUnsignedTransaction` makes the bytes that are signed.
 */
export const parseTransactionFields = (fields: EvmTransactionFields): EvmTransaction => {
  checkFieldsOfType(fields)
  return checkTransaction(parseByType(fields))
}
