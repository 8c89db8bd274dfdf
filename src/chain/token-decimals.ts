/**
 * In how many decimals an ERC-20 counts: asked of a chain once, because a token does not change that. An answer that was not
 * expected is asked for again: it may have been a provider's mistake.
 */
import type { EvmChain } from './evm-chain.ts'
import { readTokenNumber } from './token-approval.ts'

/** `decimals()` */
const DECIMALS = new Uint8Array([0x31, 0x3c, 0xe5, 0x67])
/** It is a uint8. */
const MOST = 255n

const KNOWN = new WeakMap<EvmChain, Map<string, number>>()

/** `token`: 20 bytes. Undefined where it does not say. Throws CHAIN_UNAVAILABLE, CHAIN_DISAGREEMENT. */
export const readDecimals = async (chain: EvmChain, token: Uint8Array, expected: number, signal?: AbortSignal): Promise<number | undefined> => {
  const known = KNOWN.get(chain) ?? new Map<string, number>()
  KNOWN.set(chain, known)
  const name = Buffer.from(token).toString('hex')
  const before = known.get(name)
  if (before !== undefined) return before
  const found = await readTokenNumber(chain, token, DECIMALS, await chain.blockNumber(signal), signal)
  if (found === undefined || found > MOST) return undefined
  if (Number(found) === expected) known.set(name, expected)
  return Number(found)
}
