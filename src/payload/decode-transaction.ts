import { failure } from '../domain/failure.ts'
import type { RlpItem } from './rlp.ts'
import { decodeRlp, rlpInteger, RlpRefused } from './rlp.ts'
import { MAX_TRANSACTION_BYTES } from './signing-payload.ts'
import type { AccessListEntry, EvmTransaction, SignedAuthorization } from './transaction.ts'
import { checkTransaction, encodeUnsignedTransaction, refuse } from './transaction.ts'

/** Takes the members of an RLP list one after the other and says which field was wrong. */
class Fields {
  readonly #items: readonly RlpItem[]
  readonly #prefix: string
  #next = 0

  constructor(item: RlpItem | undefined, count: number, prefix = '') {
    if (item === undefined || item instanceof Uint8Array)
      throw refuse(prefix || 'evm_unsigned', 'is not an RLP list')
    if (item.length !== count)
      throw refuse(prefix || 'evm_unsigned', `has ${item.length} fields where there are ${count}`)
    this.#items = item
    this.#prefix = prefix === '' ? '' : `${prefix}.`
  }

  #take(): RlpItem | undefined {
    this.#next += 1
    return this.#items[this.#next - 1]
  }

  integer(field: string): bigint {
    try {
      return rlpInteger(this.#take())
    } catch (error) {
      if (error instanceof RlpRefused) throw refuse(this.#prefix + field, error.why)
      throw error
    }
  }

  bytes(field: string): Uint8Array {
    const item = this.#take()
    if (!(item instanceof Uint8Array)) throw refuse(this.#prefix + field, 'is a list')
    return item
  }

  list<T>(field: string, parse: (item: RlpItem, at: string) => T): readonly T[] {
    const item = this.#take()
    if (item === undefined || item instanceof Uint8Array) throw refuse(this.#prefix + field, 'is not a list')
    return item.map((member, index) => parse(member, `${this.#prefix}${field}[${index}]`))
  }
}

const leaf = (item: RlpItem, at: string): Uint8Array => {
  if (!(item instanceof Uint8Array)) throw refuse(at, 'is a list')
  return item
}

const parseAccessListEntry = (item: RlpItem, at: string): AccessListEntry => {
  const fields = new Fields(item, 2, at)
  return { address: fields.bytes('address'), storageKeys: fields.list('storage_keys', leaf) }
}

const parseSignedAuthorization = (item: RlpItem, at: string): SignedAuthorization => {
  const fields = new Fields(item, 6, at)
  return {
    chainId: fields.integer('chain_id'),
    address: fields.bytes('address'),
    nonce: fields.integer('nonce'),
    yParity: fields.integer('y_parity'),
    r: fields.integer('r'),
    s: fields.integer('s'),
  }
}

const parseCall = (fields: Fields) => {
  const gasLimit = fields.integer('gas_limit')
  const to = fields.bytes('to')
  const value = fields.integer('value')
  return { gasLimit, to: to.length === 0 ? undefined : to, value, data: fields.bytes('data') }
}

const parseLegacy = (item: RlpItem): EvmTransaction => {
  if (!(item instanceof Uint8Array) && item.length === 6)
    throw refuse('chain_id', 'is missing: transactions without EIP-155 are valid on every chain')
  const fields = new Fields(item, 9)
  const nonce = fields.integer('nonce')
  const gasPrice = fields.integer('gas_price')
  const call = parseCall(fields)
  const chainId = fields.integer('chain_id')
  if (fields.bytes('r').length > 0 || fields.bytes('s').length > 0)
    throw refuse('evm_unsigned', 'is signed, or does not end in chain id, 0, 0 (EIP-155)')
  return { type: 'legacy', chainId, nonce, gasPrice, ...call }
}

const parseAccessListTransaction = (item: RlpItem): EvmTransaction => {
  const fields = new Fields(item, 8)
  const chainId = fields.integer('chain_id')
  const nonce = fields.integer('nonce')
  const gasPrice = fields.integer('gas_price')
  const call = parseCall(fields)
  return { type: 'access-list', chainId, nonce, gasPrice, ...call, accessList: parseAccessList(fields) }
}

const parseAccessList = (fields: Fields): readonly AccessListEntry[] =>
  fields.list('access_list', parseAccessListEntry)

const parseDynamicFee = (fields: Fields) => {
  const chainId = fields.integer('chain_id')
  const nonce = fields.integer('nonce')
  const maxPriorityFeePerGas = fields.integer('max_priority_fee_per_gas')
  const maxFeePerGas = fields.integer('max_fee_per_gas')
  const call = parseCall(fields)
  return { chainId, nonce, maxPriorityFeePerGas, maxFeePerGas, ...call, accessList: parseAccessList(fields) }
}

const parseBlob = (item: RlpItem): EvmTransaction => {
  const fields = new Fields(item, 11)
  const shared = parseDynamicFee(fields)
  const maxFeePerBlobGas = fields.integer('max_fee_per_blob_gas')
  return {
    type: 'blob',
    ...shared,
    maxFeePerBlobGas,
    blobVersionedHashes: fields.list('blob_versioned_hashes', leaf),
  }
}

const parseSetCode = (item: RlpItem): EvmTransaction => {
  const fields = new Fields(item, 10)
  const shared = parseDynamicFee(fields)
  return {
    type: 'set-code',
    ...shared,
    authorizationList: fields.list('authorization_list', parseSignedAuthorization),
  }
}

const parseByType = (unsigned: Uint8Array): EvmTransaction => {
  const first = unsigned[0] ?? 0
  if (first >= 0xc0) return parseLegacy(decodeRlp(unsigned))
  const body = () => decodeRlp(unsigned.subarray(1))
  if (first === 1) return parseAccessListTransaction(body())
  if (first === 2) return { type: 'dynamic-fee', ...parseDynamicFee(new Fields(body(), 9)) }
  if (first === 3) return parseBlob(body())
  if (first === 4) return parseSetCode(body())
  throw refuse('evm_unsigned', 'is not a transaction of type legacy, 1, 2, 3 or 4')
}

/**
 * An unsigned transaction from its encoding: legacy with EIP-155's (chain id, 0, 0), EIP-2930, EIP-1559, EIP-4844
 * without sidecar, EIP-7702. What it accepts it can write again byte for byte, and does so before it answers.
 *
 * Refuses with TRANSACTION_INVALID and the field: signed and pre-EIP-155 transactions, other types, RLP that is
 * not canonical, another number of fields, integers with leading zeros, and what `checkTransaction` refuses; with
 * REQUEST_TOO_LARGE more than 1.5 MiB. Byte strings in the result are views of the input.
 */
export const decodeUnsignedTransaction = (unsigned: Uint8Array): EvmTransaction => {
  if (unsigned.length > MAX_TRANSACTION_BYTES)
    throw failure('REQUEST_TOO_LARGE', { limitBytes: MAX_TRANSACTION_BYTES })
  try {
    const transaction = checkTransaction(parseByType(unsigned))
    if (Buffer.compare(encodeUnsignedTransaction(transaction), unsigned) !== 0)
      throw refuse('evm_unsigned', 'is not in its canonical encoding')
    return transaction
  } catch (error) {
    if (error instanceof RlpRefused) throw refuse('evm_unsigned', error.why)
    throw error
  }
}
