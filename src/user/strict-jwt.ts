/**
 * Reads a compact JWS (RFC 7515) that holds a JWT, more strictly than the libraries do that check its signature: one text
 * for one token, nothing in it that says where a key is to be had, no member twice. Says nothing about the signature.
 */
import { isJsonNumber, type JsonObject } from '../payload/json.ts'
import { readCompactJwt } from './compact-jwt.ts'

/** Why a token is not accepted; the caller may learn it, it says nothing that the token's holder does not know. */
export type JwtFault =
  | 'malformed'
  | 'algorithm'
  | 'key_unknown'
  | 'signature'
  | 'issuer'
  | 'audience'
  | 'nonce'
  | 'time'
  | 'not_yet_valid'
  | 'expired'
  | 'claim'

export class JwtRefused extends Error {
  readonly fault: JwtFault
  /** When it was over, of a token that is. */
  readonly expireMs: number | undefined

  constructor(fault: JwtFault, expireMs?: number) {
    super(`JWT refused: ${fault}`)
    this.name = 'JwtRefused'
    this.fault = fault
    this.expireMs = expireMs
  }
}

export type StrictJwt = {
  /** As it was shown. */
  readonly text: string
  readonly alg: string
  readonly kid: string | undefined
  readonly claims: JsonObject
}

const MAX_KID_CHARACTERS = 256

/**
 * They would choose the key, change what is signed, or name a token within the token. `x5t` names a certificate and is of
 * no consequence, so what is not listed here is let be.
 */
const REFUSED_HEADERS = ['crit', 'b64', 'jwk', 'jku', 'x5u', 'x5c', 'cty', 'zip', 'enc', 'epk', 'apu', 'apv', 'p2s', 'p2c']
/** What a token is for; one that is typed as something else (a logout token, a proof of possession) is no sign-in. */
const TYPES: ReadonlySet<string> = new Set(['jwt', 'at+jwt'])

const checkHeader = (header: JsonObject): { readonly alg: string; readonly kid: string | undefined } => {
  if (REFUSED_HEADERS.some((name) => header.has(name))) throw new JwtRefused('malformed')
  const [alg, kid, typ] = [header.get('alg'), header.get('kid'), header.get('typ')]
  if (typ !== undefined && !(typeof typ === 'string' && TYPES.has(typ.toLowerCase()))) throw new JwtRefused('malformed')
  if (typeof alg !== 'string') throw new JwtRefused('algorithm')
  if (kid !== undefined && (typeof kid !== 'string' || kid.length === 0 || kid.length > MAX_KID_CHARACTERS))
    throw new JwtRefused('malformed')
  return { alg, kid }
}

/** Throws JwtRefused. */
export const parseStrictJwt = (text: string): StrictJwt => {
  const jwt = readCompactJwt(text)
  if (jwt === undefined) throw new JwtRefused('malformed')
  const { alg, kid } = checkHeader(jwt.header)
  return { text, alg, kid, claims: jwt.claims }
}

/** Seconds since 1970, as far as year 9999; fractions are cut off. */
const NUMERIC_DATE = /^(?:0|[1-9]\d{0,11})(?:\.\d{1,9})?$/

const timeMs = (claims: JsonObject, name: string): number | undefined => {
  const value = claims.get(name)
  if (value === undefined) return undefined
  if (!isJsonNumber(value) || !NUMERIC_DATE.test(value.numberText)) throw new JwtRefused('time')
  return Math.trunc(Number(value.numberText) * 1_000)
}

/** `exp` and `iat` must be there, `nbf` may. Clocks may differ by `skewMs`. Throws JwtRefused. */
export const checkTimes = (claims: JsonObject, nowMs: number, skewMs: number): { readonly expireMs: number; readonly issueMs: number } => {
  const [expireMs, notBeforeMs, issueMs] = [timeMs(claims, 'exp'), timeMs(claims, 'nbf'), timeMs(claims, 'iat')]
  if (expireMs === undefined || issueMs === undefined || expireMs <= issueMs) throw new JwtRefused('time')
  if (issueMs > nowMs + skewMs || (notBeforeMs ?? 0) > nowMs + skewMs) throw new JwtRefused('not_yet_valid')
  if (nowMs >= expireMs + skewMs) throw new JwtRefused('expired', expireMs)
  return { expireMs, issueMs }
}

export const textClaim = (claims: JsonObject, name: string): string => {
  const value = claims.get(name)
  if (typeof value !== 'string' || value === '') throw new JwtRefused('claim')
  return value
}

/** The issuer is one text, exactly the expected one. */
export const checkIssuer = (claims: JsonObject, issuers: readonly string[]): void => {
  const issuer = claims.get('iss')
  if (typeof issuer !== 'string' || !issuers.includes(issuer)) throw new JwtRefused('issuer')
}

/** One audience or several; one of them is expected. */
export const checkAudience = (claims: JsonObject, audiences: readonly string[]): void => {
  const audience = claims.get('aud')
  const list = typeof audience === 'string' ? [audience] : Array.isArray(audience) ? (audience as unknown[]) : []
  if (!list.every((one) => typeof one === 'string') || !list.some((one) => audiences.includes(one)))
    throw new JwtRefused('audience')
}
