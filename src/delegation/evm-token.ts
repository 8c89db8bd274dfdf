/** Whether an ERC-20 is the token that the configuration says it is. */
import type { EvmChain } from '../chain/evm-chain.ts'
import { readDecimals } from '../chain/token-decimals.ts'
import { failure } from '../domain/failure.ts'
import { parseEvmAddress } from '../payload/address.ts'
import type { Delegated } from './spending-chain.ts'

/**
 * Refuses with TOKEN_UNSUPPORTED a token that counts in other decimals than are configured, or does not say in how many: every
 * amount would be another one. Throws CHAIN_UNAVAILABLE, CHAIN_DISAGREEMENT.
 */
export const requireDecimals = async (
  chain: EvmChain,
  { network, currency, tokenAddress, decimals }: Pick<Delegated, 'network' | 'currency' | 'tokenAddress' | 'decimals'>,
  signal?: AbortSignal,
): Promise<void> => {
  const refuse = (why: string) => failure('TOKEN_UNSUPPORTED', { network, currency, why })
  const token = parseEvmAddress(tokenAddress)
  if (token === undefined) throw refuse('its address is none')
  const found = await readDecimals(chain, token, decimals, signal)
  if (found === undefined) throw refuse('the contract does not say how many decimals it has')
  if (found !== decimals) throw refuse(`the token has ${found} decimals, the configuration says ${decimals}`)
}
