/**
 * What may be spent from an external wallet: what its chain says now, less what is held for transfers that are under way
 * and not in what the chain says.
 */
import { addressKeyOf } from '../domain/ids.ts'
import type { ExternalWallet } from '../vault/external-wallets.ts'
import { getSent } from '../vault/sent-queries.ts'
import { spendsHeld } from '../vault/spends.ts'
import type { Reader } from '../vault/store.ts'
import type { Standing } from './external-wallet-view.ts'
import { FreshReadings } from './fresh-readings.ts'
import type { SpendingChain } from './spending-chain.ts'

/** `reflected`: the sends whose effect is in `standing`. */
export type Reading = { readonly standing: Standing; readonly reflected: ReadonlySet<string> }

const purseOf = (chain: SpendingChain, wallet: ExternalWallet) => ({ chain: chain.chain, token: wallet.tokenAddress, owner: wallet.address })

/**
 * First the chain, then what is under way: what was begun after the block was read is in no block up to that one. So each
 * transfer is counted once, in what the chain says or in what is held.
 */
const readPurse = async (reader: Reader, chain: SpendingChain, wallet: ExternalWallet): Promise<Reading> => {
  const standing = await chain.standing(wallet)
  const held = spendsHeld(reader, purseOf(chain, wallet), standing.block).filter(({ state }) => state === 'OPEN')
  const sends = held.flatMap(({ sendId }) => getSent(reader, sendId) ?? [])
  return { standing, reflected: sends.length === 0 ? new Set() : await chain.reflected(standing, sends) }
}

export class Purses {
  readonly #readings = new FreshReadings<Reading>()

  /** Begins when it is asked for, or later. Throws CHAIN_UNAVAILABLE, CHAIN_DISAGREEMENT. */
  read(reader: Reader, chain: SpendingChain, wallet: ExternalWallet): Promise<Reading> {
    return this.#readings.read(wallet.externalWalletId, () => readPurse(reader, chain, wallet))
  }
}

/** Base units; never more than allowance or balance leave. `reader`: the transaction that is to hold the amount. */
export const availableIn = (reader: Reader, chain: SpendingChain, wallet: ExternalWallet, { standing, reflected }: Reading): bigint => {
  const held = spendsHeld(reader, purseOf(chain, wallet), standing.block).filter(
    ({ state, sendId }) => state !== 'OPEN' || !reflected.has(sendId),
  )
  const sum = (units: readonly { readonly units: bigint }[]): bigint => units.reduce((total, one) => total + one.units, 0n)
  const spender = addressKeyOf(wallet.spender)
  const ofAllowance = standing.allowance - sum(held.filter((spend) => spend.spender === spender))
  const ofBalance = standing.balance - sum(held)
  const least = ofAllowance < ofBalance ? ofAllowance : ofBalance
  return least > 0n ? least : 0n
}
