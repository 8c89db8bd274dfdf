/** The chains of the configuration, over the one way out. */
import { type Chains, createChains } from '../chain/chains.ts'
import type { Config, Secrets } from '../config/config.ts'
import type { Clock } from '../domain/clock.ts'
import type { SendHttp } from '../egress/http.ts'

export const wireChains = ({ chains }: Config, { chainEndpoints }: Secrets, send: SendHttp, clock: Clock): Chains => {
  const settings = chains.map((chain) => ({ ...chain, rpcUrls: chainEndpoints.get(chain.network) ?? [] }))
  return createChains(settings, send, clock)
}
