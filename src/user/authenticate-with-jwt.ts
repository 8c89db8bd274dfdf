/** Sign-in with a JWT of the project's own. */
import { failure } from '../domain/failure.ts'
import { isReservedUserId, parseUserId, type UserId } from '../domain/ids.ts'
import type { JwtSignIn, SignatureAlgorithm } from '../domain/project-settings.ts'
import { GENERATED_USER_ID } from '../vault/end-users.ts'
import { answerSession, beginSession, type SignedIn } from './begin-session.ts'
import { chooseKey } from './key-sets.ts'
import { type SignInNeeds, type Visitor, visitProject } from './sign-in-needs.ts'
import { JwtRefused, textClaim } from './strict-jwt.ts'
import { verifyIssuedToken, withJwtReasons } from './verify-issued-token.ts'

const findKeyOf =
  ({ keySets }: SignInNeeds, { jwksUrl, jwksJson }: JwtSignIn) =>
  async (kid: string | undefined, algorithm: SignatureAlgorithm) =>
    jwksUrl === '' ? chooseKey(keySets.ofText(jwksJson), kid, algorithm) : keySets.find(jwksUrl, kid, algorithm)

/** The project's own word for a person. One that could be taken for something else is refused, not changed. */
const userIdOf = (text: string): UserId => {
  const userId = parseUserId(text)
  if (userId === undefined || isReservedUserId(userId) || GENERATED_USER_ID.test(userId)) throw new JwtRefused('claim')
  return userId
}

/**
 * Refuses: SIGN_IN_NOT_ENABLED, ID_TOKEN_INVALID, ID_TOKEN_EXPIRED, KEY_SET_UNAVAILABLE, and as `visitProject`. The token
 * is not used up: it is its issuer's to say how long it is good for.
 */
export const authenticateWithJwt = async (
  needs: SignInNeeds,
  visitor: Visitor,
  { jwt }: { readonly jwt: string },
): Promise<SignedIn> => {
  const { projectId: project, settings } = visitProject(needs, visitor)
  const { jwtSignIn } = settings
  if (jwtSignIn === undefined) throw failure('SIGN_IN_NOT_ENABLED', { method: 'jwt' })
  const { issuer, audiences, algorithms, userIdClaim } = jwtSignIn
  const expected = { algorithms, audiences, issuers: [issuer], findKey: findKeyOf(needs, jwtSignIn) }
  const userId = await withJwtReasons(async () =>
    userIdOf(textClaim(await verifyIssuedToken(jwt, expected, needs.clock.nowMs()), userIdClaim)),
  )
  const identity = { project, method: 'jwt', subject: userId, userId, rpc: 'AuthenticateWithJwt' } as const
  const begun = await needs.vault.commit((tx) => beginSession(needs, tx, identity, Math.trunc(needs.clock.nowMs())))
  return answerSession(needs, begun)
}
