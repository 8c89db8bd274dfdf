/** What an EVM transaction pays for gas: what is usual now, never more than the caps, and more than what it replaces. */
import type { EvmFees } from '../chain/evm-chain.ts'
import { failure } from '../domain/failure.ts'
import type { EvmTransaction } from '../payload/transaction.ts'
import type { FeeLimits } from './chain-family.ts'

export type ChosenFees =
  | { readonly kind: 'dynamic'; readonly maxFeePerGas: bigint; readonly maxPriorityFeePerGas: bigint }
  | { readonly kind: 'legacy'; readonly gasPrice: bigint }

const least = (one: bigint, other: bigint): bigint => (one < other ? one : other)
const most = (one: bigint, other: bigint): bigint => (one > other ? one : other)

const requireWithin = (needed: bigint, cap: bigint): void => {
  if (needed > cap) throw failure('FEE_ABOVE_CAP', { needed: String(needed), cap: String(cap) })
}

/**
 * A request's own numbers are taken as they are, within the cap of the chain. Without them a transaction pays what is usual
 * and is good for twice the base fee of now. Refuses with FEE_ABOVE_CAP what could not get into the next block for so much.
 */
export const chooseFees = (now: EvmFees, asked: FeeLimits | undefined, cap: bigint): ChosenFees => {
  if (asked?.maxFeePerGas !== undefined) requireWithin(asked.maxFeePerGas, cap)
  const limit = asked?.maxFeePerGas ?? cap
  if ('gasPrice' in now) {
    requireWithin(now.gasPrice, limit)
    return { kind: 'legacy', gasPrice: asked?.maxFeePerGas ?? now.gasPrice }
  }
  const priority = asked?.maxPriorityFeePerGas ?? now.priorityFee
  requireWithin(now.baseFee + priority, limit)
  return { kind: 'dynamic', maxPriorityFeePerGas: priority, maxFeePerGas: asked?.maxFeePerGas ?? least(2n * now.baseFee + priority, cap) }
}

/** What nodes take as enough more: a tenth. */
const raised = (fee: bigint): bigint => (fee * 11n) / 10n + 1n

/**
 * Fees with which nodes let a transaction take the place of `before`, at least what is usual now. Refuses with FEE_ABOVE_CAP
 * where that is over the cap, or over what the request says.
 */
export const raiseFees = (before: EvmTransaction, now: EvmFees, asked: FeeLimits | undefined, cap: bigint): ChosenFees => {
  const limit = least(asked?.maxFeePerGas ?? cap, cap)
  if ('gasPrice' in before) {
    const usual = 'gasPrice' in now ? now.gasPrice : now.baseFee + now.priorityFee
    const needed = most(raised(before.gasPrice), usual)
    requireWithin(needed, limit)
    return { kind: 'legacy', gasPrice: asked?.maxFeePerGas ?? needed }
  }
  const usual = 'gasPrice' in now ? { baseFee: 0n, priorityFee: now.gasPrice } : now
  const priority = most(raised(before.maxPriorityFeePerGas), asked?.maxPriorityFeePerGas ?? usual.priorityFee)
  const needed = most(raised(before.maxFeePerGas), usual.baseFee + priority)
  requireWithin(needed, limit)
  const wanted = asked?.maxFeePerGas ?? least(most(needed, 2n * usual.baseFee + priority), cap)
  return { kind: 'dynamic', maxPriorityFeePerGas: priority, maxFeePerGas: wanted }
}

/** The most that a unit of gas may cost. */
export const priceOf = (fees: ChosenFees): bigint => (fees.kind === 'legacy' ? fees.gasPrice : fees.maxFeePerGas)

/** An estimate is of the state of now: a little more is given. Exactly a transfer's is exact. */
const TRANSFER_GAS = 21_000n
export const withMargin = (estimate: bigint, cap: bigint): bigint => {
  if (estimate > cap) throw failure('GAS_ABOVE_CAP', { needed: String(estimate), cap: String(cap) })
  return estimate === TRANSFER_GAS ? estimate : least((estimate * 6n) / 5n, cap)
}
