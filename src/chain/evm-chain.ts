/** Reads of one EVM chain (EIP-1474). Hexadecimal stays in here. */
import type { Clock } from '../domain/clock.ts'
import type { Secret } from '../domain/secret.ts'
import { isFailure } from '../domain/failure.ts'
import type { SendHttp } from '../egress/http.ts'
import { HASH, QUANTITY, readBaseFee, readCount, readHash, readNumber, readQuantity, readReward } from './evm-numbers.ts'
import { createProvider } from './json-rpc.ts'
import { ProviderSet, type Told } from './provider-set.ts'

export type EvmChainSettings = {
  readonly network: string
  readonly chainId: bigint
  /** In the order of preference. */
  readonly rpcUrls: readonly Secret<string>[]
  readonly sending?: EvmSendingSettings | undefined
}

export type EvmSendingSettings = {
  /** How often what was sent is looked up. */
  readonly pollMs: number
  /** Nothing pays more for a unit of gas. */
  readonly maxFeePerGas: bigint
  /** Nothing uses more gas. */
  readonly maxGas: bigint
}

/** Of EIP-7825; beyond it Ethereum takes no transaction. */
const MAX_GAS = 16_777_216n
const GWEI = 10n ** 9n
const DEFAULT_SENDING: EvmSendingSettings = { pollMs: 2_000, maxFeePerGas: 1_000n * GWEI, maxGas: MAX_GAS }

export type EvmCall = {
  /** 20 bytes: whose call it is; nobody's where it is absent. */
  readonly from?: Uint8Array
  /** 20 bytes; absent for code that runs as a deployment would and is not kept. */
  readonly to?: Uint8Array
  readonly data: Uint8Array
  readonly gas: bigint
}

/** What a receipt says of a transaction that is in a block. Hexadecimal in lower case, without 0x. */
export type Receipt = {
  readonly succeeded: boolean
  readonly block: bigint
  readonly blockHash: string
  readonly logs: readonly {
    readonly address: string
    readonly topics: readonly string[]
    readonly data: string
    readonly index: bigint
  }[]
}

/** Blocks both included; a topic that is undefined may be any. */
export type LogFilter = {
  /** 20 bytes each. */
  readonly addresses: readonly Uint8Array[]
  /** Each place one of these, in lower-case hexadecimal without 0x. */
  readonly topics: readonly (readonly string[] | undefined)[]
  readonly from: bigint
  readonly to: bigint
}

export type ChainLog = Receipt['logs'][number] & { readonly block: bigint }

const hexOf = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString('hex')}`
const quantityOf = (value: bigint): string => `0x${value.toString(16)}`

const DATA = /^0x(?:[0-9a-f]{2})*$/

const readData = (result: unknown): string | undefined =>
  typeof result === 'string' && DATA.test(result.toLowerCase()) ? result.toLowerCase() : undefined

const MAX_LOGS = 2_000

const asText = (value: unknown, pattern: RegExp): string => {
  const text = typeof value === 'string' ? value.toLowerCase() : ''
  if (!pattern.test(text)) throw new Error('a field that is not what it should be')
  return text
}

const readLog = (log: unknown) => {
  const { address, topics, data, logIndex } = (log ?? {}) as { readonly [name: string]: unknown }
  if (!Array.isArray(topics) || topics.length > 4) throw new Error('topics that are none')
  return [
    asText(address, /^0x[0-9a-f]{40}$/).slice(2),
    topics.map((topic) => asText(topic, HASH).slice(2)),
    asText(data, DATA).slice(2),
    asText(logIndex, QUANTITY),
  ]
}

/** As text, so that two of them can be compared; `null` while the transaction is in no block. */
const readReceipt =
  (hash: string) =>
  (result: unknown): string => {
    if (result === null) return 'null'
    const { transactionHash, status, blockNumber, blockHash, logs } = result as { readonly [name: string]: unknown }
    if (asText(transactionHash, HASH) !== hash) throw new Error('the receipt of another transaction')
    if (!Array.isArray(logs) || logs.length > MAX_LOGS) throw new Error('logs that are none')
    const parts = [asText(status, /^0x[01]$/), asText(blockNumber, QUANTITY), asText(blockHash, HASH).slice(2), logs.map(readLog)]
    return JSON.stringify(parts)
  }

const parseReceipt = (text: string): Receipt | undefined => {
  if (text === 'null') return undefined
  const [status, block, blockHash, logs] = JSON.parse(text) as [string, string, string, [string, string[], string, string][]]
  return {
    succeeded: status === '0x1',
    block: BigInt(block),
    blockHash,
    logs: logs.map(([address, topics, data, index]) => ({ address, topics, data, index: BigInt(index) })),
  }
}

/** As text, so that two answers can be compared. Refuses what was not asked for: a node that mixes things up is not believed. */
const readLogs =
  ({ addresses, from, to }: LogFilter) =>
  (result: unknown): string => {
    if (!Array.isArray(result) || result.length > MAX_LOGS) throw new Error('logs that are none')
    const asked = new Set(addresses.map(hexOf))
    return JSON.stringify(
      result.map((log: unknown) => {
        const { blockNumber, removed, address } = (log ?? {}) as { readonly [name: string]: unknown }
        const block = BigInt(asText(blockNumber, QUANTITY))
        const isAsked = block >= from && block <= to && asked.has(asText(address, DATA)) && removed !== true
        if (!isAsked) throw new Error('a log that was not asked for')
        return [...readLog(log), String(block)]
      }),
    )
  }

const parseLogs = (text: string): readonly ChainLog[] =>
  (JSON.parse(text) as [string, string[], string, string, string][]).map(([address, topics, data, index, block]) => ({
    address, topics, data, index: BigInt(index), block: BigInt(block),
  }))

const readBlockHash = (result: unknown): string =>
  result === null ? '' : asText((result as { readonly hash?: unknown }).hash, HASH).slice(2)

const lowest = ([first, ...others]: readonly [bigint, ...bigint[]]): bigint => others.reduce((least, one) => (one < least ? one : least), first)

/** Of how many blocks, and of which share of their gas, the usual fee is read. */
const FEE_BLOCKS = '0xa'
const FEE_PERCENTILE = 50

/** In wei a unit of gas. */
export type EvmFees = { readonly baseFee: bigint; readonly priorityFee: bigint } | { readonly gasPrice: bigint }

export type EvmEstimate = {
  readonly from: Uint8Array
  readonly to: Uint8Array | undefined
  readonly value: bigint
  readonly data: Uint8Array
  readonly accessList: readonly { readonly address: Uint8Array; readonly storageKeys: readonly Uint8Array[] }[]
}

const bytesOf = (data: string): Uint8Array => new Uint8Array(Buffer.from(data.slice(2), 'hex'))

/** Nodes use the codes of a revert for other refusals, too; these alone run anything that can revert. */
const REVERTING: ReadonlySet<string> = new Set(['eth_call', 'eth_estimateGas'])

export class EvmChain {
  readonly network: string
  readonly chainId: bigint
  readonly sending: EvmSendingSettings
  readonly #providers: ProviderSet

  constructor({ network, chainId, rpcUrls, sending }: EvmChainSettings, send: SendHttp, clock: Clock) {
    this.network = network
    this.sending = sending ?? DEFAULT_SENDING
    this.chainId = chainId
    this.#providers = new ProviderSet({
      network,
      identify: { method: 'eth_chainId', params: [], expected: quantityOf(chainId) },
      providers: rpcUrls.map((url) => createProvider(send, url)),
      clock,
      reverting: REVERTING,
    })
  }

  /**
   * The number of the newest block that two providers know. A number from one alone could be that of a block which only it
   * has: then nobody else would be heard on what is asked about that block.
   */
  async blockNumber(signal?: AbortSignal): Promise<bigint> {
    return lowest(await this.#providers.hear('eth_blockNumber', [], readCount, signal))
  }

  /** Undefined while the transaction is in no block that two providers know. */
  async receipt(txHash: Uint8Array, signal?: AbortSignal): Promise<Receipt | undefined> {
    const hash = hexOf(txHash)
    return parseReceipt(await this.#providers.agree('eth_getTransactionReceipt', [hash], readReceipt(hash), signal))
  }

  /** What contracts logged, as two providers see it. Refuses more than 2000 logs as it does any answer of no use. */
  async logs(filter: LogFilter, signal?: AbortSignal): Promise<readonly ChainLog[]> {
    const topics = filter.topics.map((some) => some?.map((topic) => `0x${topic}`) ?? null)
    const asked = { address: filter.addresses.map(hexOf), topics, fromBlock: quantityOf(filter.from), toBlock: quantityOf(filter.to) }
    return parseLogs(await this.#providers.agree('eth_getLogs', [asked], readLogs(filter), signal))
  }

  /** The hash of the chain's block of that number, in lower-case hexadecimal; empty where it has none. */
  blockHash(block: bigint, signal?: AbortSignal): Promise<string> {
    return this.#providers.agree('eth_getBlockByNumber', [quantityOf(block), false], readBlockHash, signal)
  }

  /** How many transactions of an account the chain has up to a block, that one included, as two providers see it. */
  async transactionCountAt(address: Uint8Array, block: bigint, signal?: AbortSignal): Promise<bigint> {
    return BigInt(await this.#providers.agree('eth_getTransactionCount', [hexOf(address), quantityOf(block)], readQuantity, signal))
  }

  /** The code at an address at a block, as two providers see it; empty where there is none. */
  async code(address: Uint8Array, block: bigint, signal?: AbortSignal): Promise<Uint8Array> {
    return bytesOf(await this.#providers.agree('eth_getCode', [hexOf(address), quantityOf(block)], readData, signal))
  }

  /**
   * What a call returns at a block, as two providers see it. Nothing is sent to the chain. Throws CallReverted,
   * CHAIN_UNAVAILABLE, CHAIN_DISAGREEMENT.
   */
  async call({ from, to, data, gas }: EvmCall, block: bigint, signal?: AbortSignal): Promise<Uint8Array> {
    const by = from === undefined ? {} : { from: hexOf(from) }
    const call = { ...by, ...(to === undefined ? {} : { to: hexOf(to) }), data: hexOf(data), gas: quantityOf(gas) }
    return bytesOf(await this.#providers.agree('eth_call', [call, quantityOf(block)], readData, signal))
  }

  /**
   * How many transactions of an account are in blocks, and how many with those that wait. Of two providers the lower
   * counts: a higher one may be of what only that provider knows.
   */
  async transactionCounts(address: Uint8Array, signal?: AbortSignal): Promise<{ readonly latest: bigint; readonly pending: bigint }> {
    const [latest, pending] = await Promise.all([this.#count(address, 'latest', signal), this.#count(address, 'pending', signal)])
    return { latest, pending: pending < latest ? latest : pending }
  }

  /** How many transactions of an account are in blocks, as `transactionCounts`. */
  minedCount(address: Uint8Array, signal?: AbortSignal): Promise<bigint> {
    return this.#count(address, 'latest', signal)
  }

  async #count(address: Uint8Array, tag: string, signal?: AbortSignal): Promise<bigint> {
    return lowest(await this.#providers.hear('eth_getTransactionCount', [hexOf(address), tag], readCount, signal))
  }

  /** In wei; of two providers the lower. */
  async balance(address: Uint8Array, signal?: AbortSignal): Promise<bigint> {
    return lowest(await this.#providers.hear('eth_getBalance', [hexOf(address), 'latest'], readNumber, signal))
  }

  /**
   * What gas costs now, in wei: the base fee of the newest block and what is usual beside it; or, on a chain without
   * EIP-1559, the price. Of two providers the lower counts: one that asks for too much would be paid it.
   */
  async fees(signal?: AbortSignal): Promise<EvmFees> {
    const heads = await this.#providers.hear('eth_getBlockByNumber', ['latest', false], readBaseFee, signal)
    const baseFees = heads.flatMap(({ baseFee }) => (baseFee === undefined ? [] : [baseFee]))
    const [first, ...others] = baseFees
    if (first === undefined) return { gasPrice: lowest(await this.#providers.hear('eth_gasPrice', [], readNumber, signal)) }
    return { baseFee: lowest([first, ...others]), priorityFee: await this.#priorityFee(signal) }
  }

  async #priorityFee(signal?: AbortSignal): Promise<bigint> {
    const paid = await this.#lowestOr('eth_feeHistory', [FEE_BLOCKS, 'latest', [FEE_PERCENTILE]], readReward, signal)
    if (paid !== undefined && paid > 0n) return paid
    return (await this.#lowestOr('eth_maxPriorityFeePerGas', [], readNumber, signal)) ?? GWEI
  }

  /** Undefined where no provider knows the question. */
  async #lowestOr(method: string, params: readonly unknown[], read: (result: unknown) => bigint, signal?: AbortSignal) {
    try {
      return lowest(await this.#providers.hear(method, params, read, signal))
    } catch (error) {
      if (isFailure(error)) return undefined
      throw error
    }
  }

  /** The gas that a transaction takes; of two providers the higher. Throws CallReverted, CHAIN_UNAVAILABLE. */
  async estimateGas({ from, to, value, data, accessList }: EvmEstimate, signal?: AbortSignal): Promise<bigint> {
    const call = {
      from: hexOf(from),
      ...(to === undefined ? {} : { to: hexOf(to) }),
      value: quantityOf(value),
      data: hexOf(data),
      ...(accessList.length === 0
        ? {}
        : { accessList: accessList.map(({ address, storageKeys }) => ({ address: hexOf(address), storageKeys: storageKeys.map(hexOf) })) }),
    }
    const heard = await this.#providers.hear('eth_estimateGas', [call], readNumber, signal)
    return heard.reduce((highest, one) => (one > highest ? one : highest))
  }

  /** Gives a signed transaction to every provider; what each says of it, as far as it says anything. */
  broadcast(raw: Uint8Array, signal?: AbortSignal): Promise<readonly Told<string>[]> {
    return this.#providers.submit('eth_sendRawTransaction', [hexOf(raw)], readHash, signal)
  }
}
