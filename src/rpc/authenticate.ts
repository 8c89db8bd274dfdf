/** Who is calling: an API key or an end user. A key is shown as a bearer token or bound to the listener or the client's certificate. */
import { BlockList, isIP } from 'node:net'
import type { ApiKeyCaller, ApiKeyCallerKind, Caller } from '../domain/call.ts'
import type { Failure } from '../domain/failure.ts'
import { failure } from '../domain/failure.ts'
import type { ApiKeyId, ProjectId } from '../domain/ids.ts'
import type { Peer } from './peer.ts'

/** What is known of an API key that exists and is not revoked. */
export type ApiKeyRecord = {
  readonly apiKeyId: ApiKeyId
  readonly projectId: ProjectId
  /** Names of the permissions it holds, narrowed or not. */
  readonly permissions: ReadonlySet<string>
  /** 0: no limit of its own. */
  readonly requestsPerSecond: number
  /** Empty: from anywhere. */
  readonly allowedCidrs: readonly string[]
  readonly expireTimeMs: number | undefined
}

/** Where API keys are kept. Answers reflect every revocation that was acknowledged. */
export type ApiKeyDirectory = {
  /**
   * The key whose secret this is, expired or not. Undefined when there is none, when the secret is wrong, and when
   * the key is revoked; all three, and every text that could be a secret, take the same time.
   */
  readonly findBySecret: (presented: string) => ApiKeyRecord | undefined
  /** For keys bound to a listener or a certificate. Undefined when there is none or it is revoked. */
  readonly findById: (apiKeyId: ApiKeyId) => ApiKeyRecord | undefined
}

export type Authenticated<C extends Caller = Caller> = {
  readonly caller: C
  /** 0: no limit of its own. */
  readonly requestsPerSecond: number
}

const BEARER = /^Bearer +(?<token>[A-Za-z0-9_-]{1,256})$/i

const networksOf = new WeakMap<readonly string[], BlockList>()

const family = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 6 ? 'ipv6' : 'ipv4')

/** The networks of a list, parsed once. Throws on a malformed one: such a list was never accepted. */
const parseNetworks = (cidrs: readonly string[]): BlockList => {
  const known = networksOf.get(cidrs)
  if (known !== undefined) return known
  const list = new BlockList()
  for (const cidr of cidrs) {
    const [address = '', prefix = ''] = cidr.split('/')
    list.addSubnet(address, Number(prefix), family(address))
  }
  networksOf.set(cidrs, list)
  return list
}

/** An IPv4 address that came over an IPv6 socket (`::ffff:10.0.0.1`) is the IPv4 address. */
const plainAddress = (address: string): string =>
  address.toLowerCase().startsWith('::ffff:') && isIP(address.slice(7)) === 4 ? address.slice(7) : address

export const isAddressAllowed = (cidrs: readonly string[], address: string | undefined): boolean => {
  if (cidrs.length === 0) return true
  if (address === undefined) return false
  // A scoped address (`fe80::1%eth0`) is matched without its scope.
  const plain = plainAddress(address.split('%', 1)[0] ?? '')
  return isIP(plain) !== 0 && parseNetworks(cidrs).check(plain, family(plain))
}

const kindOf = (record: ApiKeyRecord, peer: Peer): ApiKeyCallerKind => {
  if (record.permissions.has('admin')) return 'operator'
  return peer.transport === 'unix' && peer.boundApiKeyId !== undefined ? 'sidecar' : 'project'
}

const findRecord = (
  directory: ApiKeyDirectory,
  peer: Peer,
  authorization: string | null,
): ApiKeyRecord | Failure<'API_KEY_MISSING' | 'API_KEY_INVALID'> => {
  if (peer.boundApiKeyId !== undefined)
    return directory.findById(peer.boundApiKeyId) ?? failure('API_KEY_INVALID', {})
  if (peer.needsCertificateIdentity) return failure('API_KEY_INVALID', {})
  if (authorization === null || authorization === '') return failure('API_KEY_MISSING', {})
  const token = BEARER.exec(authorization)?.groups?.['token']
  return (token === undefined ? undefined : directory.findBySecret(token)) ?? failure('API_KEY_INVALID', {})
}

/**
 * The caller. Where the listener or certificate names an API key, that is who calls, whatever the `authorization`
 * header says. Throws API_KEY_MISSING, API_KEY_INVALID (unknown, wrong, revoked, or from a network the key does
 * not allow; which of them is not told) or API_KEY_EXPIRED. Unix sockets are exempt from the networks: file modes
 * guard them.
 */
export const authenticate = (
  directory: ApiKeyDirectory,
  peer: Peer,
  authorization: string | null,
  nowMs: number,
): Authenticated<ApiKeyCaller> => {
  const record = findRecord(directory, peer, authorization)
  if (record instanceof Error) throw record
  return letKeyIn(record, peer, nowMs)
}

/** The caller that a key's holder is, where it may be used from and while it lasts. */
const letKeyIn = (record: ApiKeyRecord, peer: Peer, nowMs: number): Authenticated<ApiKeyCaller> => {
  if (peer.transport === 'tcp' && !isAddressAllowed(record.allowedCidrs, peer.address))
    throw failure('API_KEY_INVALID', {})
  if (record.expireTimeMs !== undefined && record.expireTimeMs <= nowMs)
    throw failure('API_KEY_EXPIRED', { expireTime: new Date(record.expireTimeMs).toISOString() })
  const { apiKeyId, projectId, permissions, requestsPerSecond } = record
  const caller: ApiKeyCaller = { kind: kindOf(record, peer), principal: apiKeyId, apiKeyId, projectId, permissions }
  return { caller, requestsPerSecond }
}
