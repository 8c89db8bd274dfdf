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
  /** 20 bytes; absent for code that runs as a deployment would and is not kept. */
  readonly to?: Uint8Array
  readonly data: Uint8Array
  readonly gas: bigint
}

const hexOf = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString('hex')}`
const quantityOf = (value: bigint): string => `0x${value.toString(16)}`

const QUANTITY = /^0x(?:0|[1-9a-f][0-9a-f]{0,63})$/
const DATA = /^0x(?:[0-9a-f]{2})*$/

const readQuantity = (result: unknown): string | undefined =>
  typeof result === 'string' && QUANTITY.test(result.toLowerCase()) ? result.toLowerCase() : undefined
const readData = (result: unknown): string | undefined =>
  typeof result === 'string' && DATA.test(result.toLowerCase()) ? result.toLowerCase() : undefined

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

  /** The newest block's number, of one provider. */
  async blockNumber(signal?: AbortSignal): Promise<bigint> {
    return BigInt(await this.#providers.ask('eth_blockNumber', [], readQuantity, signal))
  }

  /** The code at an address at a block, as two providers see it; empty where there is none. */
  async code(address: Uint8Array, block: bigint, signal?: AbortSignal): Promise<Uint8Array> {
    return bytesOf(await this.#providers.agree('eth_getCode', [hexOf(address), quantityOf(block)], readData, signal))
  }

  /**
   * What a call returns at a block, as two providers see it. Nothing is sent to the chain. Throws CallReverted,
   * CHAIN_UNAVAILABLE, CHAIN_DISAGREEMENT.
   */
  async call({ to, data, gas }: EvmCall, block: bigint, signal?: AbortSignal): Promise<Uint8Array> {
    const call = { ...(to === undefined ? {} : { to: hexOf(to) }), data: hexOf(data), gas: quantityOf(gas) }
    return bytesOf(await this.#providers.agree('eth_call', [call, quantityOf(block)], readData, signal))
  }
}
