/** An EVM chain in memory: takes what it is told to take, mines when it is told to, forgets what it is told to forget. */
import { keccak256, parseTransaction, type Hex } from 'viem'
import type { EvmChain, EvmFees } from '../../src/chain/evm-chain.ts'
import type { Chains } from '../../src/chain/chains.ts'
import { failure } from '../../src/domain/failure.ts'

const GWEI = 10n ** 9n

type Pending = { readonly hash: string; readonly nonce: number; readonly raw: Hex }

export class MemoryChain {
  readonly network = 'ethereum'
  readonly chainId = 1n
  readonly sending = { pollMs: 2, maxFeePerGas: 100n * GWEI, maxGas: 1_000_000n }
  feesNow: EvmFees = { baseFee: 10n * GWEI, priorityFee: GWEI }
  /** Every transaction that was offered, by its hash, as often as it was. */
  readonly offered: string[] = []
  /** Why nothing is taken; `away`: nobody answers. */
  refusal: string | undefined
  isAway = false
  /** What is offered arrives after this. */
  arrival: Promise<void> | undefined
  /** What is followed is looked up after this. */
  lookUp: Promise<void> | undefined
  /** Receipts come later than counts. */
  isLate = false
  #blocks: Pending[][] = [[]]
  #pool: Pending[] = []
  #fork = 0

  get head(): bigint {
    return BigInt(this.#blocks.length - 1)
  }

  mine(): void {
    const nonce = this.#mined()
    const inOrder = this.#pool.toSorted((one, other) => one.nonce - other.nonce).filter((one, index) => one.nonce === nonce + index)
    this.#blocks.push(inOrder)
    this.#pool = this.#pool.filter((one) => !inOrder.includes(one))
  }

  dropPool(): void {
    this.#pool = []
  }

  /** Back to the first block, on another branch. */
  forget(): void {
    this.#blocks = [[]]
    this.#pool = []
    this.#fork += 1
  }

  #mined(): number {
    return this.#blocks.flat().length
  }

  #hashOf(block: bigint): string {
    return `${this.#fork}${block}`.padStart(64, '0')
  }

  asChains(): Chains {
    const chain = this.#asChain()
    const evm = (network: string): EvmChain => {
      if (network !== this.network) throw failure('CHAIN_NOT_CONFIGURED', { network })
      return chain
    }
    return { evm, solana: () => { throw failure('CHAIN_NOT_CONFIGURED', { network: 'solana' }) }, familyOf: () => 'evm', networks: [this.network] }
  }

  #asChain(): EvmChain {
    const { network, chainId, sending } = this
    return {
      network, chainId, sending,
      fees: async () => this.feesNow,
      balance: async () => 10n ** 18n,
      estimateGas: async () => 21_000n,
      blockNumber: async () => {
        await this.lookUp
        return this.head
      },
      minedCount: async () => BigInt(this.#mined()),
      blockHash: async (block: bigint) => (block > this.head ? '' : this.#hashOf(block)),
      transactionCounts: async () => {
        let pending = this.#mined()
        while (this.#pool.some(({ nonce }) => nonce === pending)) pending += 1
        return { latest: BigInt(this.#mined()), pending: BigInt(pending) }
      },
      receipt: async (hash: Uint8Array) => this.#receipt(`0x${Buffer.from(hash).toString('hex')}`),
      broadcast: async (raw: Uint8Array, signal?: AbortSignal) => {
        await this.arrival
        return signal?.aborted === true ? [] : this.#take(`0x${Buffer.from(raw).toString('hex')}`)
      },
    } as unknown as EvmChain
  }

  #receipt(hash: string) {
    const block = this.#blocks.findIndex((mined) => mined.some((one) => one.hash === hash))
    return block < 0 || this.isLate ? undefined : { succeeded: true, block: BigInt(block), blockHash: this.#hashOf(BigInt(block)), logs: [] }
  }

  #take(raw: Hex) {
    const hash = keccak256(raw)
    this.offered.push(hash)
    if (this.isAway) return []
    if (this.refusal !== undefined) return [{ refusal: this.refusal }]
    const { nonce = 0 } = parseTransaction(raw)
    this.#pool = [...this.#pool.filter((one) => one.nonce !== nonce), { hash, nonce, raw }]
    return [{ value: hash }]
  }
}
