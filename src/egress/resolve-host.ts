import { lookup } from 'node:dns/promises'
import { type AllowList, type Destination, judgeDestination } from './address-guard.ts'
import { EgressError } from './egress-error.ts'
import { parseIp } from '../domain/network-address.ts'

/** Every address of a name. Rejects or answers none when there is none. */
export type ResolveHost = (host: string) => Promise<readonly string[]>

/** As the system resolves it, hosts file included. */
export const systemResolve: ResolveHost = async (host) =>
  (await lookup(host, { all: true, order: 'verbatim' })).map(({ address }) => address)

const FAULTS = {
  unresolvable: 'unresolvable',
  address: 'address_refused',
  plaintext: 'plaintext_refused',
  port: 'port_refused',
} as const

/**
 * The addresses a connection may go to: resolved now, once, and all of them judged. Whoever connects uses these and asks
 * no resolver again, so that a name which changes its mind in between changes nothing. Throws EgressError.
 */
export const resolveAllowed = async (
  allow: AllowList,
  resolve: ResolveHost,
  destination: Destination,
): Promise<readonly string[]> => {
  const { host } = destination
  const addresses = parseIp(host) === undefined ? await resolve(host).catch(() => []) : [host]
  const refusal = judgeDestination(allow, destination, addresses)
  if (refusal !== undefined) throw new EgressError(FAULTS[refusal])
  return addresses
}
