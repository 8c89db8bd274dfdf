/** Tokens that others issue about a person: the project's own JWTs and the ID tokens of OpenID providers. */
import type { KeyObject } from 'node:crypto'
import { compactVerify } from 'jose'
import { failure } from '../domain/failure.ts'
import type { SignatureAlgorithm } from '../domain/project-settings.ts'
import type { JsonObject } from '../payload/json.ts'
import { checkAudience, checkIssuer, checkTimes, JwtRefused, parseStrictJwt } from './strict-jwt.ts'

export type Expected = {
  readonly algorithms: readonly SignatureAlgorithm[]
  readonly findKey: (kid: string | undefined, algorithm: SignatureAlgorithm) => Promise<KeyObject>
  readonly issuers: readonly string[]
  /** Empty: the audience is not looked at. */
  readonly audiences: readonly string[]
}

/** What clocks may differ by. */
const SKEW_MS = 30_000

/** The claims of a good token. Throws JwtRefused; what `findKey` throws. */
export const verifyIssuedToken = async (text: string, expected: Expected, nowMs: number): Promise<JsonObject> => {
  const jwt = parseStrictJwt(text)
  const algorithm = expected.algorithms.find((name) => name === jwt.alg)
  if (algorithm === undefined) throw new JwtRefused('algorithm')
  // Before a key is looked for: a token that could not be accepted anyway moves nothing.
  checkIssuer(jwt.claims, expected.issuers)
  if (expected.audiences.length > 0) checkAudience(jwt.claims, expected.audiences)
  checkTimes(jwt.claims, nowMs, SKEW_MS)
  const key = await expected.findKey(jwt.kid, algorithm)
  await compactVerify(text, key, { algorithms: [algorithm] }).catch(() => {
    throw new JwtRefused('signature')
  })
  return jwt.claims
}

/** Tells the caller of a refused token what is wrong with it. */
export const withJwtReasons = async <T>(run: () => Promise<T>): Promise<T> => {
  try {
    return await run()
  } catch (error) {
    if (!(error instanceof JwtRefused)) throw error
    throw error.fault === 'expired' ? failure('ID_TOKEN_EXPIRED', {}) : failure('ID_TOKEN_INVALID', { detail: error.fault })
  }
}
