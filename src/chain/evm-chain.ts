/** Reads of one EVM chain (EIP-1474). Hexadecimal stays in here. */
import type { Clock } from '../domain/clock.ts'
import type { Secret } from '../domain/secret.ts'
import type { SendHttp } from '../egress/http.ts'
import { createProvider } from './json-rpc.ts'
import { ProviderSet } from './provider-set.ts'

export type EvmChainSettings = {
  readonly network: string
  readonly chainId: bigint
  /** In the order of preference. */
  readonly rpcUrls: readonly Secret<string>[]
}

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

const QUANTITY = /^0x(?:0|[1-9a-f][0-9a-f]{0,63})$/
const DATA = /^0x(?:[0-9a-f]{2})*$/

const readQuantity = (result: unknown): string | undefined =>
  typeof result === 'string' && QUANTITY.test(result.toLowerCase()) ? result.toLowerCase() : undefined
const readData = (result: unknown): string | undefined =>
  typeof result === 'string' && DATA.test(result.toLowerCase()) ? result.toLowerCase() : undefined

const HASH = /^0x[0-9a-f]{64}$/
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

const bytesOf = (data: string): Uint8Array => new Uint8Array(Buffer.from(data.slice(2), 'hex'))

export class EvmChain {
  readonly network: string
  readonly chainId: bigint
  readonly #providers: ProviderSet

  constructor({ network, chainId, rpcUrls }: EvmChainSettings, send: SendHttp, clock: Clock) {
    this.network = network
    this.chainId = chainId
    this.#providers = new ProviderSet({
      network,
      identify: { method: 'eth_chainId', params: [], expected: quantityOf(chainId) },
      providers: rpcUrls.map((url) => createProvider(send, url)),
      clock,
    })
  }

  /**
   * The number of the newest block that two providers know. A number from one alone could be that of a block which only it
   * has: then nobody else would be heard on what is asked about that block.
   */
  async blockNumber(signal?: AbortSignal): Promise<bigint> {
    const heads = await this.#providers.hear('eth_blockNumber', [], readQuantity, signal)
    return heads.map(BigInt).reduce((lowest, head) => (head < lowest ? head : lowest))
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
}
