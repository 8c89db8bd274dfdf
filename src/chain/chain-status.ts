/** How the chains are: asked now, of every one at once, and not for long. */
import type { ChainStatus } from '../domain/chain-status.ts'
import { isFailure } from '../domain/failure.ts'
import { chainNameOf, type Chains } from './chains.ts'

const PATIENCE_MS = 2_000

const statusOf = async (chains: Chains, network: string): Promise<ChainStatus> => {
  const served = chainNameOf(chains, network)
  if (!chains.networks.includes(served)) {
    return { network, state: 'not_configured', chainId: undefined, block: undefined, detail: 'no [[chain]] of the configuration' }
  }
  const signal = AbortSignal.timeout(PATIENCE_MS)
  const isSolana = chains.familyOf(served) === 'solana'
  const chainId = isSolana ? undefined : chains.evm(served).chainId
  try {
    const block = isSolana ? await chains.solana(served).slot(signal) : await chains.evm(served).blockNumber(signal)
    return { network, state: 'usable', chainId, block, detail: '' }
  } catch (error) {
    if (!isFailure(error) && !signal.aborted) throw error
    const detail = isFailure(error) ? error.message : 'no answer in time'
    return { network, state: 'unavailable', chainId, block: undefined, detail }
  }
}

/** Of every chain of the configuration, and of the networks that are wanted besides; by their names. */
export const readChainStatuses = (chains: Chains, wanted: readonly string[]): Promise<readonly ChainStatus[]> =>
  Promise.all([...new Set([...chains.networks, ...wanted])].toSorted().map((network) => statusOf(chains, network)))
