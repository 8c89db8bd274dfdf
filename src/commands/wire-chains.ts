/** The chains of the configuration, over the one way out. */
import { type Chains, createChains } from '../chain/chains.ts'
import { readChainStatuses } from '../chain/chain-status.ts'
import type { Currencies } from '../chain/currencies.ts'
import type { Config, Secrets } from '../config/config.ts'
import type { ChainStatus } from '../domain/chain-status.ts'
import type { Clock } from '../domain/clock.ts'
import { readSettings } from '../domain/project-settings.ts'
import type { SendHttp } from '../egress/http.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { listProjects } from '../vault/projects.ts'

export const wireChains = ({ chains }: Config, { chainEndpoints }: Secrets, send: SendHttp, clock: Clock): Chains => {
  const settings = chains.map((chain) => ({ ...chain, rpcUrls: chainEndpoints.get(chain.network) ?? [] }))
  return createChains(settings, send, clock)
}

const PROJECTS_MAX = 1_000
const NETWORKS_MAX = 100

/** How the chains are, with those that somebody may ask for and nobody configured. */
export const chainStatuses =
  (vault: DaemonVault, chains: Chains, currencies: Currencies) => (): Promise<readonly ChainStatus[]> => {
    const spenders = listProjects(vault.read, undefined, PROJECTS_MAX).flatMap(({ settings }) => readSettings(settings).spenders)
    const wanted = new Set([...currencies.networks, ...spenders.map(({ network }) => network)])
    return readChainStatuses(chains, [...wanted].slice(0, NETWORKS_MAX))
  }
