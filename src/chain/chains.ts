import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import type { SendHttp } from '../egress/http.ts'
import { CHAIN_OF_NETWORK } from './currencies.ts'
import { EvmChain, type EvmChainSettings } from './evm-chain.ts'
import { SolanaChain, type SolanaChainSettings } from './solana-chain.ts'

/** The chains that the configuration names. */
export type Chains = {
  /** Refuses with CHAIN_NOT_CONFIGURED, a Solana network too. */
  readonly evm: (network: string) => EvmChain
  /** Refuses with CHAIN_NOT_CONFIGURED, an EVM network too. */
  readonly solana: (network: string) => SolanaChain
  readonly familyOf: (network: string) => 'evm' | 'solana' | undefined
  readonly networks: readonly string[]
}

/** The name under which the configuration has the chain of a network: its own, or that of the chain it is another name of. */
export const chainNameOf = ({ networks }: Pick<Chains, 'networks'>, network: string): string =>
  networks.includes(network) ? network : (CHAIN_OF_NETWORK.get(network) ?? network)

export type SomeChainSettings = EvmChainSettings | SolanaChainSettings

const isSolana = (settings: SomeChainSettings): settings is SolanaChainSettings => 'genesisHash' in settings

export const createChains = (settings: readonly SomeChainSettings[], send: SendHttp, clock: Clock): Chains => {
  const evm = new Map<string, EvmChain>()
  const solana = new Map<string, SolanaChain>()
  for (const one of settings) {
    if (isSolana(one)) solana.set(one.network, new SolanaChain(one, send, clock))
    else evm.set(one.network, new EvmChain(one, send, clock))
  }
  const required = <T>(chains: ReadonlyMap<string, T>, network: string): T => {
    const chain = chains.get(network)
    if (chain === undefined) throw failure('CHAIN_NOT_CONFIGURED', { network })
    return chain
  }
  return {
    evm: (network) => required(evm, network),
    solana: (network) => required(solana, network),
    familyOf: (network) => (evm.has(network) ? 'evm' : solana.has(network) ? 'solana' : undefined),
    networks: settings.map(({ network }) => network),
  }
}
