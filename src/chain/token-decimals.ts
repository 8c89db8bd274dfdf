/** In how many decimals an ERC-20 counts: asked of a chain once, because a token does not change that. */
import type { EvmChain } from './evm-chain.ts'
import { readTokenNumber } from './token-approval.ts'

/** `decimals()` */
const DECIMALS = new Uint8Array([0x31, 0x3c, 0xe5, 0x67])
/** It is a uint8. */
const MOST = 255n

const KNOWN = new WeakMap<EvmChain, Map<string, number>>()

/** `token`: 20 bytes. Undefined where it does not say. Throws CHAIN_UNAVAILABLE, CHAIN_DISAGREEMENT. */
export const readDecimals = async (chain: EvmChain, token: Uint8Array, signal?: AbortSignal): Promise<number | undefined> => {
  const known = KNOWN.get(chain) ?? new Map<string, number>()
  KNOWN.set(chain, known)
  const name = Buffer.from(token).toString('hex')
  const before = known.get(name)
  if (before !== undefined) return before
  const found = await readTokenNumber(chain, token, DECIMALS, await chain.blockNumber(signal), signal)
  if (found === undefined || found > MOST) return undefined
  known.set(name, Number(found))
  return Number(found)
}
