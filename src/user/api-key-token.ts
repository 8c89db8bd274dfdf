/**
 * The JWT that an API key with a public key shows in place of a secret, made anew for each request: header `{alg, kid, typ,
 * nonce}` with EdDSA or ES256 as the key is of, `kid` and `sub` its id; claims `iss`, `uris` (one: `POST
 * <authority>/<service>/<method>`), `nbf`, `exp` at most two minutes on, `iat` and `aud` where they are there, and
 * `reqHash` where the token is to be for this body alone.
 */
import { type ApiKeyId, parseApiKeyId } from '../domain/ids.ts'
import { isJsonArray, type JsonObject, type JsonValue } from '../payload/json.ts'
import type { ApiKeyVerifier } from '../signing/public-keys.ts'
import {
  type CompactJwt,
  isHeader,
  isSignedWithEd25519,
  isSignedWithEs256,
  readOnlyText,
  readText,
  readTime,
} from './compact-jwt.ts'
import { isSameUri, MAX_AHEAD_MS } from './request-token.ts'

const isKeyId = (value: JsonValue): boolean => typeof value === 'string' && parseApiKeyId(value) !== undefined

/** Whose token it says it is; undefined for what is no API key's. Says nothing of who signed it. */
export const apiKeyIdOf = (token: CompactJwt): ApiKeyId | undefined => parseApiKeyId(readText(token.header, 'kid') ?? '')

/** Why a token that its key signed is not for this call. */
export type ApiKeyTokenFlaw = 'malformed' | 'audience' | 'uris' | 'expired' | 'not_yet_valid'

export type ApiKeyToken = {
  readonly tokenId: string
  readonly issuedMs: number
  readonly expireMs: number
  /** Undefined where the token is for any body. */
  readonly reqHash: string | undefined
}

const MAX_LIFE_MS = 120_000
const NONCE = /^[A-Za-z0-9_-]{8,128}$/
const REQUEST_HASH = /^[0-9a-f]{64}$/
const AUDIENCE = 'countersign'

const isForUs = (claims: JsonObject): boolean => {
  const audience = claims.get('aud')
  if (audience === undefined || audience === null) return true
  return isJsonArray(audience) ? audience.includes(AUDIENCE) : audience === AUDIENCE
}

type Times = Pick<ApiKeyToken, 'issuedMs' | 'expireMs'>

const readTimes = (claims: JsonObject, nowMs: number): Times | ApiKeyTokenFlaw => {
  const [notBeforeMs, expireMs] = [readTime(claims, 'nbf'), readTime(claims, 'exp')]
  const issuedMs = claims.has('iat') ? readTime(claims, 'iat') : notBeforeMs
  if (notBeforeMs === undefined || expireMs === undefined || issuedMs === undefined) return 'malformed'
  if (expireMs - Math.min(issuedMs, notBeforeMs) > MAX_LIFE_MS) return 'malformed'
  if (notBeforeMs > nowMs + MAX_AHEAD_MS || issuedMs > nowMs + MAX_AHEAD_MS) return 'not_yet_valid'
  return expireMs <= nowMs ? 'expired' : { issuedMs: Math.min(issuedMs, notBeforeMs), expireMs }
}

const isSigned = (token: CompactJwt, { algorithm, key }: ApiKeyVerifier): boolean =>
  algorithm === 'EdDSA' ? isSignedWithEd25519(token, key) : isSignedWithEs256(token, key)

/** Whether its header is of this form, and holds nothing else. */
export const isApiKeyTokenHeader = ({ header }: CompactJwt): boolean =>
  isHeader(header, {
    alg: (value) => value === 'EdDSA' || value === 'ES256',
    kid: isKeyId,
    nonce: (value) => typeof value === 'string' && NONCE.test(value),
  })

/**
 * What a token says, when this key signed it for this call. Undefined when the key did not sign it, in its own algorithm.
 * That it was not used before, and is for this body, is for the caller to see to.
 */
export const verifyApiKeyToken = (
  token: CompactJwt,
  verifier: ApiKeyVerifier,
  uri: string,
  nowMs: number,
): ApiKeyToken | ApiKeyTokenFlaw | undefined => {
  const { header, claims } = token
  if (readText(header, 'alg') !== verifier.algorithm || !isSigned(token, verifier)) return undefined
  const reqHash = readText(claims, 'reqHash')
  const isHashMalformed = claims.has('reqHash') && (reqHash === undefined || !REQUEST_HASH.test(reqHash))
  const shownUri = readOnlyText(claims, 'uris')
  const isWhole = readText(claims, 'sub') === readText(header, 'kid') && readText(claims, 'iss') !== undefined
  if (!isWhole || isHashMalformed || shownUri === undefined) return 'malformed'
  if (!isForUs(claims)) return 'audience'
  const times = readTimes(claims, nowMs)
  if (typeof times === 'string') return times
  if (!isSameUri(shownUri, uri)) return 'uris'
  return { tokenId: readText(header, 'nonce') ?? '', ...times, reqHash }
}
