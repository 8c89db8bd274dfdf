/** Who is calling: an API key or an end user. A key is shown as a bearer token or bound to the listener or the client's certificate. */
import { BlockList, isIP } from 'node:net'
import type { ApiKeyCaller, ApiKeyCallerKind, Caller } from '../domain/call.ts'
import type { Failure } from '../domain/failure.ts'
import { failure } from '../domain/failure.ts'
import type { ApiKeyId, ProjectId } from '../domain/ids.ts'
import type { ApiKeyVerifier } from '../signing/public-keys.ts'
import { type ApiKeyToken, apiKeyIdOf, isApiKeyTokenHeader, verifyApiKeyToken } from '../user/api-key-token.ts'
import type { CompactJwt } from '../user/compact-jwt.ts'
import type { ShownToken, UsedToken } from '../user/prove-request.ts'
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
  /** By its own setting or its project's; absent for no. */
  readonly needsDeveloperAuth?: boolean
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

/** What API keys and their projects prove themselves with beside secrets. */
export type ApiKeyProofs = {
  /** What the JWTs of a key are verified with; undefined for a key that has a secret. */
  readonly findVerifier: (apiKeyId: ApiKeyId) => ApiKeyVerifier | undefined
  /** Remembers, durably, that a token was used. Answers false when it was used before. */
  readonly useToken: (token: UsedToken) => Promise<boolean>
  /** That the project's signing key signed a request; using the proof up. Refuses as user/prove-request.ts does. */
  readonly proveDeveloper: (projectId: ProjectId, proof: ShownToken) => Promise<void>
}

export type Authenticated<C extends Caller = Caller> = {
  readonly caller: C
  /** 0: no limit of its own. */
  readonly requestsPerSecond: number
  /** What an API key still has to show or pass before it is let in; absent for nothing. */
  readonly duty?: KeyDuty
}

export type KeyDuty = {
  readonly needsDeveloperAuth: boolean
  /** The JWT that the key showed, and the SPKI of the key that signed it. */
  readonly token: (ApiKeyToken & { readonly publicKey: Uint8Array }) | undefined
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

/**
 * As `authenticate`, for an API key that shows a JWT it signed for the request to `uri`. Throws API_KEY_INVALID also for
 * one it did not sign, and API_KEY_TOKEN_INVALID for one that is not for this request; whether it was used before, and is
 * for this body, is left to do.
 */
export const authenticateToken = (
  { directory, keyProofs }: { readonly directory: ApiKeyDirectory; readonly keyProofs: ApiKeyProofs },
  peer: Peer,
  { jwt, uri }: { readonly jwt: CompactJwt; readonly uri: string },
  nowMs: number,
): Authenticated<ApiKeyCaller> => {
  const apiKeyId = isApiKeyTokenHeader(jwt) ? apiKeyIdOf(jwt) : undefined
  const record = apiKeyId && directory.findById(apiKeyId)
  const verifier = apiKeyId && keyProofs.findVerifier(apiKeyId)
  const verdict = verifier && verifyApiKeyToken(jwt, verifier, uri, nowMs)
  if (record === undefined || verifier === undefined || verdict === undefined) throw failure('API_KEY_INVALID', {})
  const known = letKeyIn(record, peer, nowMs)
  if (typeof verdict === 'string') throw failure('API_KEY_TOKEN_INVALID', { detail: verdict })
  const { needsDeveloperAuth = false } = record
  return { ...known, duty: { needsDeveloperAuth, token: { ...verdict, publicKey: verifier.spki } } }
}

/** The caller that a key's holder is, where it may be used from and while it lasts. */
const letKeyIn = (record: ApiKeyRecord, peer: Peer, nowMs: number): Authenticated<ApiKeyCaller> => {
  if (peer.transport === 'tcp' && !isAddressAllowed(record.allowedCidrs, peer.address))
    throw failure('API_KEY_INVALID', {})
  if (record.expireTimeMs !== undefined && record.expireTimeMs <= nowMs)
    throw failure('API_KEY_EXPIRED', { expireTime: new Date(record.expireTimeMs).toISOString() })
  const { apiKeyId, projectId, permissions, requestsPerSecond } = record
  const caller: ApiKeyCaller = { kind: kindOf(record, peer), principal: apiKeyId, apiKeyId, projectId, permissions }
  return record.needsDeveloperAuth === true
    ? { caller, requestsPerSecond, duty: { needsDeveloperAuth: true, token: undefined } }
    : { caller, requestsPerSecond }
}

/** Where API keys have secrets and nothing else. */
export const SECRETS_ONLY: ApiKeyProofs = {
  findVerifier: () => undefined,
  useToken: async () => false,
  proveDeveloper: async () => {
    throw failure('DEVELOPER_AUTH_INVALID', { detail: 'signature' })
  },
}
