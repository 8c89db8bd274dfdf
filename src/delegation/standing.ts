/** What the chain says of an external wallet now, on whatever kind of chain it is. */
import { readAllowance, readBalance } from '../chain/token-approval.ts'
import { isFailure } from '../domain/failure.ts'
import { decodeBase58 } from '../domain/base58.ts'
import { fromHex } from '../payload/bytes.ts'
import type { ExternalWallet } from '../vault/external-wallets.ts'
import type { Standing } from './external-wallet-view.ts'
import { readSolanaStanding } from './solana-standing.ts'
import { chainOf, familyOf, type SpenderNeeds } from './spenders.ts'

const readEvm = async (needs: SpenderNeeds, wallet: ExternalWallet, signal?: AbortSignal): Promise<Standing | undefined> => {
  const chain = chainOf(needs, wallet.network)
  const [token, owner, spender] = [wallet.tokenAddress, wallet.address, wallet.spender].map((text) => fromHex(text)) as [Uint8Array, Uint8Array, Uint8Array]
  const block = await chain.blockNumber(signal)
  const allowance = await readAllowance(chain, token, owner, spender, block, signal)
  const balance = await readBalance(chain, token, owner, block, signal)
  return allowance === undefined || balance === undefined ? undefined : { allowance, balance, block }
}

const readSolana = async (needs: SpenderNeeds, wallet: ExternalWallet, signal?: AbortSignal): Promise<Standing> => {
  const { network, currency, decimals } = wallet
  const [mint, owner, spender] = [wallet.tokenAddress, wallet.address, wallet.spender].map(decodeBase58) as [Uint8Array, Uint8Array, Uint8Array]
  const question = { network, currency, decimals, mint, owner, spender }
  const { allowance, balance, slot } = await readSolanaStanding(needs.chains.solana(network), question, signal)
  return { allowance, balance, block: slot }
}

/** Undefined while it cannot be read: the chain is away or is not configured, or the token is none any more. */
export const readStanding = async (needs: SpenderNeeds, wallet: ExternalWallet, signal?: AbortSignal): Promise<Standing | undefined> => {
  const read = familyOf(needs, wallet.network) === 'solana' ? readSolana : readEvm
  try {
    return await read(needs, wallet, signal)
  } catch (error) {
    if (isFailure(error)) return undefined
    throw error
  }
}
