/** How the chains are: asked now, of every one at once, and not for long. */
import { isFailure } from '../domain/failure.ts'
import type { Chains } from './chains.ts'
import { CHAIN_OF_NETWORK } from './currencies.ts'

export type ChainStatus = {
  readonly network: string
  readonly state: 'usable' | 'unavailable' | 'not_configured'
  readonly chainId: bigint | undefined
  /** The newest block; undefined where none was told. */
  readonly block: bigint | undefined
  /** Why it cannot be used. */
  readonly detail: string
}

const PATIENCE_MS = 2_000

const statusOf = async (chains: Chains, network: string): Promise<ChainStatus> => {
  const served = chains.networks.includes(network) ? network : (CHAIN_OF_NETWORK.get(network) ?? network)
  if (!chains.networks.includes(served)) {
    return { network, state: 'not_configured', chainId: undefined, block: undefined, detail: 'no [[chain]] of the configuration' }
  }
  const chain = chains.evm(served)
  const signal = AbortSignal.timeout(PATIENCE_MS)
  try {
    return { network, state: 'usable', chainId: chain.chainId, block: await chain.blockNumber(signal), detail: '' }
  } catch (error) {
    if (!isFailure(error) && !signal.aborted) throw error
    const detail = isFailure(error) ? error.message : 'no answer in time'
    return { network, state: 'unavailable', chainId: chain.chainId, block: undefined, detail }
  }
}

/** Of every chain of the configuration, and of the networks that are wanted besides; by their names. */
export const readChainStatuses = (chains: Chains, wanted: readonly string[]): Promise<readonly ChainStatus[]> =>
  Promise.all([...new Set([...chains.networks, ...wanted])].toSorted().map((network) => statusOf(chains, network)))
