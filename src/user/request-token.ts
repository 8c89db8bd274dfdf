/**
 * The JWT that signs one request: `x-wallet-auth` of an end user's wallet secret, and `x-developer-auth` of a project's
 * signing key. ES256, header `{alg, typ}` and no `kid`; claims `uris` (one: `POST <authority>/<service>/<method>`), `iat`,
 * `nbf`, `jti` and, unless the request is empty, `reqHash`; no `exp`: its time is ours to bound.
 */
import type { KeyObject } from 'node:crypto'
import { type CompactJwt, isHeader, isSignedWithEs256, readCompactJwt, readOnlyText, readText, readTime } from './compact-jwt.ts'
import { isHashOf, type RawRequest } from './request-hash.ts'

/** Why a token does not sign a request. Told to the caller, who holds it. */
export type RequestTokenFlaw =
  | 'malformed'
  | 'signature'
  | 'uris'
  | 'body'
  | 'expired'
  | 'not_yet_valid'

export type SignedRequest = {
  /** `POST <authority>/<service>/<method>` */
  readonly uri: string
  /** Undefined where the request cannot be seen: then nothing signs it. */
  readonly raw: RawRequest | undefined
}

/** How old a token may be. */
const MAX_AGE_MS = 60_000
/** How far a device's clock may be ahead. */
export const MAX_AHEAD_MS = 5_000

/** The id is remembered at least for as long as the token would be taken. */
export const useUntilMs = (issuedMs: number): number => issuedMs + MAX_AGE_MS + MAX_AHEAD_MS

const TOKEN_ID = /^[A-Za-z0-9_-]{8,128}$/
const REQUEST_HASH = /^[0-9a-f]{64}$/

const URI = /^([A-Z]+) ([^/ ]+)(\/[^ ]*)$/

const isSameAuthority = (one: string, other: string): boolean => {
  const [a, b] = [one.toLowerCase(), other.toLowerCase()]
  const isWithPort = (text: string, bare: string): boolean => text === `${bare}:80` || text === `${bare}:443`
  return a === b || isWithPort(a, b) || isWithPort(b, a)
}

/**
 * Host names are the same in any letter case, and with or without the port that http and https imply, which some clients
 * send and others leave out (RFC 9110 §4.2.3); methods are not, and one of these ports is not the other. What is no URI is the
 * same as nothing.
 */
export const isSameUri = (one: string, other: string): boolean => {
  const [, verb, host, path] = URI.exec(one) ?? []
  const [, otherVerb, otherHost, otherPath] = URI.exec(other) ?? []
  if (verb === undefined || host === undefined || otherHost === undefined) return false
  return verb === otherVerb && isSameAuthority(host, otherHost) && path === otherPath
}

type Checked = { readonly tokenId: string; readonly issuedMs: number }

const checkTimes = ({ claims }: CompactJwt, nowMs: number): { readonly issuedMs: number } | RequestTokenFlaw => {
  const issuedMs = readTime(claims, 'iat')
  const notBeforeMs = readTime(claims, 'nbf')
  const expireMs = claims.has('exp') ? readTime(claims, 'exp') : Infinity
  if (issuedMs === undefined || notBeforeMs === undefined || expireMs === undefined) return 'malformed'
  if (issuedMs > nowMs + MAX_AHEAD_MS || notBeforeMs > nowMs + MAX_AHEAD_MS) return 'not_yet_valid'
  return issuedMs < nowMs - MAX_AGE_MS || expireMs <= nowMs ? 'expired' : { issuedMs }
}

const checkClaims = (token: CompactJwt, request: SignedRequest, nowMs: number): Checked | RequestTokenFlaw => {
  const { claims } = token
  const tokenId = readText(claims, 'jti')
  const uri = readOnlyText(claims, 'uris')
  const reqHash = readText(claims, 'reqHash')
  const isHashMalformed = claims.has('reqHash') && (reqHash === undefined || !REQUEST_HASH.test(reqHash))
  if (tokenId === undefined || !TOKEN_ID.test(tokenId) || uri === undefined || isHashMalformed) return 'malformed'
  const times = checkTimes(token, nowMs)
  if (typeof times === 'string') return times
  if (!isSameUri(uri, request.uri)) return 'uris'
  if (request.raw === undefined || !isHashOf(reqHash, request.raw)) return 'body'
  return { tokenId, issuedMs: times.issuedMs }
}

export type Verified<K> = { readonly signer: K; readonly tokenId: string; readonly issuedMs: number }

/**
 * Which of these keys signed the request with this token, or what is wrong with the token. The signature comes first:
 * nothing else is said of a token that none of the keys made. That its id is new is for the caller to see to.
 */
export const verifyRequestToken = <K extends { readonly key: KeyObject }>(
  text: string,
  signers: readonly K[],
  request: SignedRequest,
  nowMs: number,
): Verified<K> | RequestTokenFlaw => {
  const token = readCompactJwt(text)
  if (token === undefined || !isHeader(token.header, { alg: (value) => value === 'ES256' })) return 'malformed'
  const signer = signers.find(({ key }) => isSignedWithEs256(token, key))
  if (signer === undefined) return 'signature'
  const checked = checkClaims(token, request, nowMs)
  return typeof checked === 'string' ? checked : { signer, ...checked }
}
