/** The chains of the configuration, over the one way out. */
import type { ChainStatusView } from '../admin/status.ts'
import { type Chains, createChains } from '../chain/chains.ts'
import { readChainStatuses } from '../chain/chain-status.ts'
import type { Currencies } from '../chain/currencies.ts'
import type { Config, Secrets } from '../config/config.ts'
import type { Clock } from '../domain/clock.ts'
import { readSettings } from '../domain/project-settings.ts'
import type { SendHttp } from '../egress/http.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { openByNetwork } from '../vault/sent-queries.ts'
import { listProjects } from '../vault/projects.ts'

export const wireChains = ({ chains }: Config, { chainEndpoints }: Secrets, send: SendHttp, clock: Clock): Chains => {
  const settings = chains.map((chain) => ({ ...chain, rpcUrls: chainEndpoints.get(chain.network) ?? [] }))
  return createChains(settings, send, clock)
}

const PROJECTS_MAX = 1_000
const NETWORKS_MAX = 100

/** How the chains are, with those that somebody may ask for and nobody configured. */
export const chainStatuses =
  (vault: DaemonVault, chains: Chains, currencies: Currencies) => async (): Promise<readonly ChainStatusView[]> => {
    const spenders = listProjects(vault.read, undefined, PROJECTS_MAX).flatMap(({ settings }) => readSettings(settings).spenders)
    const sends = new Map(openByNetwork(vault.read).map((one) => [one.network, one]))
    const wanted = new Set([...sends.keys(), ...currencies.networks, ...spenders.map(({ network }) => network)])
    const found = await readChainStatuses(chains, [...wanted].slice(0, NETWORKS_MAX))
    return found.map((chain) => {
      const { open, stuck, oldestMs } = sends.get(chain.network) ?? { open: 0, stuck: 0, oldestMs: undefined }
      return { ...chain, openSends: open, stuckSends: stuck, oldestSendMs: oldestMs }
    })
  }
