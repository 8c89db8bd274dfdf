import { toHex } from './bytes.ts'
import type { Destination, SigningEffect, SigningFacts, TokenKey } from './facts.ts'
import { tokenKey, totalSpends } from './facts.ts'
import { readTokenCall } from './token-calls.ts'
import type { TokenCall } from './token-calls.ts'
import type { EvmTransaction } from './transaction.ts'

/** EIP-4844: GAS_PER_BLOB. */
const GAS_PER_BLOB = 131_072n

/**
 * The most that gas and blobs can cost, in wei; what a rollup adds for its data on the chain below is not in it.
 */
const maxFee = (transaction: EvmTransaction): bigint => {
  const perGas = 'gasPrice' in transaction ? transaction.gasPrice : transaction.maxFeePerGas
  const gas = transaction.gasLimit * perGas
  if (transaction.type !== 'blob') return gas
  return gas + BigInt(transaction.blobVersionedHashes.length) * GAS_PER_BLOB * transaction.maxFeePerBlobGas
}

const delegationsOf = (transaction: EvmTransaction) =>
  transaction.type !== 'set-code'
    ? []
    : transaction.authorizationList.map(({ chainId, address }) => ({ chainId, delegate: toHex(address) }))

const effectOf = (transaction: EvmTransaction, call: TokenCall | 'malformed' | undefined): SigningEffect => {
  if (transaction.to === undefined) return 'creation'
  if (call === 'malformed') return 'malformed-call'
  if (transaction.type === 'set-code') return 'delegation'
  return call !== undefined || transaction.data.length === 0 ? 'transfer' : 'call'
}

const summarize = (transaction: EvmTransaction, call: TokenCall | 'malformed' | undefined): string => {
  const { type, chainId, to, value, data } = transaction
  const head = `${type} transaction on chain ${chainId}`
  if (to === undefined) return `${head}: contract creation with ${data.length} bytes and ${value} wei`
  const target = toHex(to)
  if (call === 'malformed') return `${head}: malformed token call to ${target} with ${value} wei`
  if (call !== undefined) {
    const reached = call.reaches.map(({ role, address }) => `${role} ${address}`).join(', ')
    return `${head}: ${call.name.split('(')[0]} of ${call.amount} at ${target}, ${reached}`
  }
  if (data.length === 0) return `${head}: ${value} wei to ${target}`
  return `${head}: unknown call of ${data.length} bytes to ${target} with ${value} wei`
}

/**
 * The facts of a transaction. A token call counts with its amount and reaches its recipient or spender besides the
 * contract; a set-code transaction is a delegation whatever else it calls. The fee counts at its maximum.
 */
export const describeTransaction = (transaction: EvmTransaction): SigningFacts => {
  const { chainId, to, value, data, type, nonce } = transaction
  const call = to === undefined ? undefined : readTokenCall(data)
  const tokenCall = call === 'malformed' ? undefined : call
  const delegations = delegationsOf(transaction)
  const destinations: Destination[] = [
    ...(to === undefined ? [] : [{ role: 'to' as const, address: toHex(to) }]),
    ...(tokenCall?.reaches ?? []),
    ...delegations.map(({ delegate }) => ({ role: 'delegate' as const, address: delegate })),
  ]
  const spends: [TokenKey, bigint][] = [[tokenKey(chainId, 'fee'), maxFee(transaction)]]
  if (value > 0n) spends.push([tokenKey(chainId, 'native'), value])
  if (tokenCall !== undefined && to !== undefined) spends.push([tokenKey(chainId, toHex(to)), tokenCall.amount])
  return {
    operation: 'transaction',
    effect: effectOf(transaction, call),
    chainIds: [...new Set([chainId, ...delegations.map((delegation) => delegation.chainId)])],
    destinations,
    spends: totalSpends(spends),
    delegations,
    transactionType: type,
    nonce,
    ...(to !== undefined && data.length >= 4 && { selector: toHex(data.subarray(0, 4)) }),
    ...(tokenCall !== undefined && { call: tokenCall.name }),
    ...(type === 'blob' && { blobCount: transaction.blobVersionedHashes.length }),
    summary: summarize(transaction, call),
  }
}
