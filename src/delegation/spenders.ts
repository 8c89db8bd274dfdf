/** On which networks a project takes spending delegations, to which of its wallets, and in which currencies. */
import { chainNameOf, type Chains } from '../chain/chains.ts'
import type { Currencies, Currency } from '../chain/currencies.ts'
import type { EvmChain } from '../chain/evm-chain.ts'
import type { SolanaChain } from '../chain/solana-chain.ts'
import { failure, invalidField } from '../domain/failure.ts'
import type { ProjectId } from '../domain/ids.ts'
import { readSettings } from '../domain/project-settings.ts'
import { parseDecimalAmount } from '../payload/decimal-amount.ts'
import { requireProject } from '../vault/projects.ts'
import type { Reader } from '../vault/store.ts'
import { getWallet, type Wallet } from '../vault/wallets.ts'
import { evmSpendingChain } from './evm-spending-chain.ts'
import { solanaSpendingChain } from './solana-spending-chain.ts'
import type { SpendingChain } from './spending-chain.ts'

export type SpenderNeeds = { readonly chains: Chains; readonly currencies: Currencies }

/** A network by which a project can be delegated to. */
export type EvmSpending = { readonly network: string; readonly family: 'evm'; readonly chain: EvmChain; readonly spender: Wallet }
export type SolanaSpending = { readonly network: string; readonly family: 'solana'; readonly chain: SolanaChain; readonly spender: Wallet }
export type SpendingNetwork = EvmSpending | SolanaSpending

/** `region` "us" leads from Linea to its network of its own. */
export const networkOf = (network: string, region: string): string =>
  network === 'linea' && region === 'us' ? 'linea-us' : network

/** Undefined where the configuration has no such chain. */
export const familyOf = (needs: SpenderNeeds, network: string): 'evm' | 'solana' | undefined =>
  needs.chains.familyOf(chainNameOf(needs.chains, network))

/** The chain of a network. Refuses with CHAIN_NOT_CONFIGURED. */
const chainOf = (needs: SpenderNeeds, network: string): EvmChain => needs.chains.evm(chainNameOf(needs.chains, network))

/** The chain of a network, as spending needs it. Refuses with CHAIN_NOT_CONFIGURED. */
export const spendingChainOf = (needs: SpenderNeeds, network: string): SpendingChain =>
  familyOf(needs, network) === 'solana' ? solanaSpendingChain(needs.chains.solana(network)) : evmSpendingChain(chainOf(needs, network))

/** A spender of the other kind of key is none on this network. */
const spenderOf = (needs: SpenderNeeds, reader: Reader, project: ProjectId, network: string): Wallet | undefined => {
  const { spenders } = readSettings(requireProject(reader, project).settings)
  const named = spenders.find((one) => one.network === network)
  const wallet = named === undefined ? undefined : getWallet(reader, named.walletId)
  const keyType = familyOf(needs, network) === 'solana' ? 'ed25519' : 'secp256k1'
  return wallet?.state === 'ACTIVE' && wallet.project === project && wallet.keyType === keyType ? wallet : undefined
}

const requireSpender = (needs: SpenderNeeds, reader: Reader, project: ProjectId, network: string): Wallet => {
  const spender = spenderOf(needs, reader, project, network)
  if (spender === undefined) throw failure('SPENDER_NOT_CONFIGURED', { network })
  return spender
}

/** Refuses with CHAIN_NOT_CONFIGURED, another kind of network too; SPENDER_NOT_CONFIGURED. */
export const requireEvmNetwork = (needs: SpenderNeeds, reader: Reader, project: ProjectId, network: string): EvmSpending => {
  const chain = chainOf(needs, network)
  return { network, family: 'evm', chain, spender: requireSpender(needs, reader, project, network) }
}

/** Refuses as `requireEvmNetwork`. */
export const requireSolanaNetwork = (needs: SpenderNeeds, reader: Reader, project: ProjectId, network: string): SolanaSpending => {
  const chain = needs.chains.solana(network)
  return { network, family: 'solana', chain, spender: requireSpender(needs, reader, project, network) }
}

/** Refuses with CHAIN_NOT_CONFIGURED, SPENDER_NOT_CONFIGURED. */
export const requireNetwork = (needs: SpenderNeeds, reader: Reader, project: ProjectId, network: string): SpendingNetwork =>
  (familyOf(needs, network) === 'solana' ? requireSolanaNetwork : requireEvmNetwork)(needs, reader, project, network)

/** Refuses with CURRENCY_NOT_CONFIGURED. */
export const requireCurrency = ({ currencies }: SpenderNeeds, network: string, currency: string): Currency => {
  const found = currencies.find(network, currency)
  if (found === undefined) throw failure('CURRENCY_NOT_CONFIGURED', { network, currency })
  return found
}

/** An amount in base units. Refuses with INVALID_REQUEST. */
export const requireUnits = (amount: string, decimals: number): bigint => {
  const units = parseDecimalAmount(amount, decimals)
  if (units === 'malformed') throw invalidField('amount', 'is not a decimal number')
  if (units === 'too precise') throw invalidField('amount', `has more decimals than the token, which has ${decimals}`)
  if (units === 'too large' || units === 0n) throw invalidField('amount', 'is zero, or more than a token can count')
  return units
}

export type ChainConfigView = {
  readonly network: string
  /** 0 on Solana. */
  readonly chainId: bigint
  /** Of Solana's clusters; '' on EVM chains. */
  readonly genesisHash: string
  readonly spenderAddress: string
  readonly tokens: readonly Currency[]
}

/** The networks that a project has a spender on and the daemon a chain for; all of them, or the one asked for. */
export const listNetworks = (
  needs: SpenderNeeds,
  reader: Reader,
  project: ProjectId,
  network: string | undefined,
): readonly ChainConfigView[] => {
  const view = (one: string): ChainConfigView => {
    const { family, chain, spender } = requireNetwork(needs, reader, project, one)
    const identity = family === 'evm' ? { chainId: chain.chainId, genesisHash: '' } : { chainId: 0n, genesisHash: chain.genesisHash }
    return { network: one, ...identity, spenderAddress: spender.address, tokens: needs.currencies.on(one) }
  }
  if (network !== undefined) return [view(network)]
  const { spenders } = readSettings(requireProject(reader, project).settings)
  const isServed = (one: string): boolean => familyOf(needs, one) !== undefined
  return spenders
    .map((one) => one.network)
    .filter((one) => isServed(one) && spenderOf(needs, reader, project, one) !== undefined)
    .map(view)
}
