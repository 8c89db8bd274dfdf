/**
 * Which addresses the daemon may be sent to. URLs come from people who administer a project, not the machine: without
 * this they could have the daemon ask its own metadata service, its neighbours or itself.
 *
 * Pure. Names are resolved once, elsewhere; every answer is judged here and the connection goes to what was judged.
 */
import { type IpAddress, isHostName, isWithin, type Network, parseIp, parseNetwork } from '../domain/network-address.ts'

/** `never`: what no name may lead to, listed or not (only a listed network opens it). */
export type AddressKind = 'public' | 'private' | 'never'

const networks = (kind: AddressKind, ...list: string[]): (readonly [Network, AddressKind])[] =>
  list.map((text) => {
    const network = parseNetwork(text)
    if (network === undefined) throw new Error(`assertion: ${text} is a network`)
    return [network, kind] as const
  })

/** IANA's special-purpose registries (RFC 6890 and what was added since); first match counts. */
const SPECIAL = [
  // This network, link-local with the metadata services of clouds, multicast, reserved, broadcast.
  ...networks('never', '0.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4'),
  ...networks('private', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'),
  // IETF assignments, documentation, 6to4 relays, benchmarks.
  ...networks('private', '192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24'),
  ...networks('public', '0.0.0.0/0'),
  ...networks('private', '::1/128', 'fc00::/7'),
  // IETF assignments with Teredo and ORCHID, documentation, 6to4.
  ...networks('private', '2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'),
  ...networks('public', '2000::/3'),
  // Everything else: unspecified, IPv4-compatible, link-local, site-local, multicast, local NAT64, what is not given out.
  ...networks('never', '::/0'),
]

/** NAT64 (RFC 6052) leads to the IPv4 address in its last four bytes. */
const NAT64 = parseNetwork('64:ff9b::/96')

export const kindOfAddress = (address: IpAddress): AddressKind => {
  if (NAT64 !== undefined && isWithin(NAT64, address)) {
    const kind = kindOfAddress(address.subarray(12))
    return kind === 'public' ? 'public' : 'never'
  }
  return SPECIAL.find(([network]) => isWithin(network, address))?.[1] ?? 'never'
}

/** What the operator lets the daemon reach beyond the public Internet: host names and networks. */
export type AllowList = { readonly hosts: ReadonlySet<string>; readonly networks: readonly Network[] }

/** Names are compared in lower case, without the dot that may end them. */
export const plainHost = (host: string): string => host.toLowerCase().replace(/\.$/, '')

/** Throws on an entry that is neither a host name, an address nor a network. */
export const parseAllowList = (entries: readonly string[]): AllowList => {
  const hosts = new Set<string>()
  const allowed: Network[] = []
  for (const entry of entries) {
    const network = parseNetwork(entry)
    const host = plainHost(entry)
    if (network !== undefined) allowed.push(network)
    else if (isHostName(host)) hosts.add(host)
    else throw new Error(`neither a host nor a network: ${entry}`)
  }
  return { hosts, networks: allowed }
}

export const ALLOW_NOTHING: AllowList = { hosts: new Set(), networks: [] }

export type Destination = {
  readonly isEncrypted: boolean
  /** As in the URL; without brackets. */
  readonly host: string
  readonly port: number
  /** Ports that need no exception. */
  readonly usualPorts: readonly number[]
}

export type GuardRefusal = 'unresolvable' | 'address' | 'plaintext' | 'port'

/**
 * Whether a connection to `destination` may go to any of `addresses`, which is everything its name resolved to. One
 * refused address refuses all: otherwise the next answer decides.
 *
 * An exception, for listed hosts and for hosts whose every address lies in listed networks, lifts the limits on
 * address, port and encryption.
 */
export const judgeDestination = (
  allow: AllowList,
  destination: Destination,
  addresses: readonly string[],
): GuardRefusal | undefined => {
  const isListedHost = allow.hosts.has(plainHost(destination.host))
  if (addresses.length === 0) return 'unresolvable'
  let isListed = true
  for (const text of addresses) {
    const address = parseIp(text)
    if (address === undefined) return 'address'
    const isListedAddress = allow.networks.some((network) => isWithin(network, address))
    const kind = kindOfAddress(address)
    if (!isListedAddress && (kind === 'never' || (kind === 'private' && !isListedHost))) return 'address'
    isListed &&= isListedAddress
  }
  if (isListed || isListedHost) return undefined
  if (!destination.isEncrypted) return 'plaintext'
  return destination.usualPorts.includes(destination.port) ? undefined : 'port'
}
