/** On which networks a project takes spending delegations, to which of its wallets, and in which currencies. */
import type { Chains } from '../chain/chains.ts'
import { CHAIN_OF_NETWORK, type Currencies, type Currency } from '../chain/currencies.ts'
import type { EvmChain } from '../chain/evm-chain.ts'
import { failure } from '../domain/failure.ts'
import type { ProjectId } from '../domain/ids.ts'
import { readSettings } from '../domain/project-settings.ts'
import { requireProject } from '../vault/projects.ts'
import type { Reader } from '../vault/store.ts'
import { getWallet, type Wallet } from '../vault/wallets.ts'
import { evmSpendingChain } from './evm-spending-chain.ts'
import type { SpendingChain } from './spending-chain.ts'

export type SpenderNeeds = { readonly chains: Chains; readonly currencies: Currencies }

/** A network by which a project can be delegated to. */
export type SpendingNetwork = { readonly network: string; readonly chain: EvmChain; readonly spender: Wallet }

/** `region` "us" leads from Linea to its network of its own. */
export const networkOf = (network: string, region: string): string =>
  network === 'linea' && region === 'us' ? 'linea-us' : network

/** The chain of a network. Refuses with CHAIN_NOT_CONFIGURED. */
export const chainOf = ({ chains }: SpenderNeeds, network: string): EvmChain =>
  chains.evm(chains.networks.includes(network) ? network : (CHAIN_OF_NETWORK.get(network) ?? network))

/** As `chainOf`, as spending needs it. */
export const spendingChainOf = (needs: SpenderNeeds, network: string): SpendingChain => evmSpendingChain(chainOf(needs, network))

const spenderOf = (reader: Reader, project: ProjectId, network: string): Wallet | undefined => {
  const { spenders } = readSettings(requireProject(reader, project).settings)
  const named = spenders.find((one) => one.network === network)
  const wallet = named === undefined ? undefined : getWallet(reader, named.walletId)
  return wallet?.state === 'ACTIVE' && wallet.project === project ? wallet : undefined
}

/** Refuses with CHAIN_NOT_CONFIGURED, SPENDER_NOT_CONFIGURED. */
export const requireNetwork = (needs: SpenderNeeds, reader: Reader, project: ProjectId, network: string): SpendingNetwork => {
  const chain = chainOf(needs, network)
  const spender = spenderOf(reader, project, network)
  if (spender === undefined) throw failure('SPENDER_NOT_CONFIGURED', { network })
  return { network, chain, spender }
}

/** Refuses with CURRENCY_NOT_CONFIGURED. */
export const requireCurrency = ({ currencies }: SpenderNeeds, network: string, currency: string): Currency => {
  const found = currencies.find(network, currency)
  if (found === undefined) throw failure('CURRENCY_NOT_CONFIGURED', { network, currency })
  return found
}

export type ChainConfigView = {
  readonly network: string
  readonly chainId: bigint
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
    const { chain, spender } = requireNetwork(needs, reader, project, one)
    return { network: one, chainId: chain.chainId, spenderAddress: spender.address, tokens: needs.currencies.on(one) }
  }
  if (network !== undefined) return [view(network)]
  const { spenders } = readSettings(requireProject(reader, project).settings)
  const isServed = (one: string): boolean =>
    needs.chains.networks.includes(CHAIN_OF_NETWORK.get(one) ?? one) || needs.chains.networks.includes(one)
  return spenders
    .map((one) => one.network)
    .filter((one) => isServed(one) && spenderOf(reader, project, one) !== undefined)
    .map(view)
}
