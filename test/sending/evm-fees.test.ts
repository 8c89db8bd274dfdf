import { describe, expect, it } from 'vitest'
import { isFailure } from '../../src/domain/failure.ts'
import type { EvmTransaction } from '../../src/payload/transaction.ts'
import { chooseFees, raiseFees, withMargin } from '../../src/sending/evm-fees.ts'

const NOW = { baseFee: 100n, priorityFee: 10n }
const CAP = 1_000n

const refused = (work: () => unknown): unknown => {
  try {
    return work()
  } catch (error) {
    if (isFailure(error)) return { reason: error.reason, ...error.facts }
    throw error
  }
}

describe('fees', () => {
  it('are good for twice the base fee, within the cap, and as asked for where they are', () => {
    expect(chooseFees(NOW, undefined, CAP)).toEqual({ kind: 'dynamic', maxFeePerGas: 210n, maxPriorityFeePerGas: 10n })
    expect(chooseFees(NOW, undefined, 150n)).toEqual({ kind: 'dynamic', maxFeePerGas: 150n, maxPriorityFeePerGas: 10n })
    expect(chooseFees(NOW, { maxFeePerGas: 400n, maxPriorityFeePerGas: 3n }, CAP)).toEqual({ kind: 'dynamic', maxFeePerGas: 400n, maxPriorityFeePerGas: 3n })
    expect(chooseFees({ gasPrice: 7n }, undefined, CAP)).toEqual({ kind: 'legacy', gasPrice: 7n })
    expect(chooseFees({ gasPrice: 7n }, { maxFeePerGas: 9n }, CAP)).toEqual({ kind: 'legacy', gasPrice: 9n })
  })

  it('are refused above the chain’s cap and the request’s, with what is needed', () => {
    expect(refused(() => chooseFees(NOW, undefined, 109n))).toEqual({ reason: 'FEE_ABOVE_CAP', needed: '110', cap: '109' })
    expect(refused(() => chooseFees(NOW, { maxFeePerGas: 109n }, CAP))).toEqual({ reason: 'FEE_ABOVE_CAP', needed: '110', cap: '109' })
    expect(refused(() => chooseFees(NOW, { maxFeePerGas: 1_001n }, CAP))).toEqual({ reason: 'FEE_ABOVE_CAP', needed: '1001', cap: '1000' })
    expect(refused(() => chooseFees({ gasPrice: 7n }, { maxFeePerGas: 6n }, CAP))).toEqual({ reason: 'FEE_ABOVE_CAP', needed: '7', cap: '6' })
  })

  const before = { type: 'dynamic-fee', maxFeePerGas: 200n, maxPriorityFeePerGas: 20n } as EvmTransaction
  it('of a replacement are more by a tenth at least, and what is usual now', () => {
    expect(raiseFees(before, NOW, undefined, CAP)).toEqual({ kind: 'dynamic', maxFeePerGas: 223n, maxPriorityFeePerGas: 23n })
    expect(raiseFees(before, { baseFee: 300n, priorityFee: 40n }, undefined, CAP)).toEqual({ kind: 'dynamic', maxFeePerGas: 640n, maxPriorityFeePerGas: 40n })
    expect(raiseFees(before, NOW, { maxFeePerGas: 500n, maxPriorityFeePerGas: 50n }, CAP)).toEqual({ kind: 'dynamic', maxFeePerGas: 500n, maxPriorityFeePerGas: 50n })
    expect(raiseFees({ type: 'legacy', gasPrice: 100n } as EvmTransaction, { gasPrice: 90n }, undefined, CAP)).toEqual({ kind: 'legacy', gasPrice: 111n })
    expect(refused(() => raiseFees(before, NOW, { maxFeePerGas: 220n }, CAP))).toEqual({ reason: 'FEE_ABOVE_CAP', needed: '221', cap: '220' })
    expect(refused(() => raiseFees(before, NOW, undefined, 220n))).toEqual({ reason: 'FEE_ABOVE_CAP', needed: '221', cap: '220' })
  })

  it('a gas limit is a fifth above the estimate, but for a transfer, and within the cap', () => {
    expect([withMargin(21_000n, 30_000n), withMargin(50_000n, 100_000n), withMargin(50_000n, 55_000n)]).toEqual([21_000n, 60_000n, 55_000n])
    expect(refused(() => withMargin(50_001n, 50_000n))).toEqual({ reason: 'GAS_ABOVE_CAP', needed: '50001', cap: '50000' })
  })
})
