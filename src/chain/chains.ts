import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import type { SendHttp } from '../egress/http.ts'
import { EvmChain, type EvmChainSettings } from './evm-chain.ts'

/** The chains that the configuration names. */
export type Chains = {
  /** Refuses with CHAIN_NOT_CONFIGURED. */
  readonly evm: (network: string) => EvmChain
  readonly networks: readonly string[]
}

export const createChains = (settings: readonly EvmChainSettings[], send: SendHttp, clock: Clock): Chains => {
  const chains = new Map(settings.map((one) => [one.network, new EvmChain(one, send, clock)]))
  return {
    evm: (network) => {
      const chain = chains.get(network)
      if (chain === undefined) throw failure('CHAIN_NOT_CONFIGURED', { network })
      return chain
    },
    networks: [...chains.keys()],
  }
}
