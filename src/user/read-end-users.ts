/** Who an end user is, for themselves and for their project. */
import type { Call } from '../domain/call.ts'
import { failure, invalidField } from '../domain/failure.ts'
import { parseUserId, type UserId } from '../domain/ids.ts'
import { authorize, type AuthorizeNeeds } from '../signing/authorize.ts'
import { getSession, type SignInMethod } from '../vault/user-sessions.ts'
import { type EndUserView, requireEndUser } from './end-user-view.ts'
import type { SignInNeeds } from './sign-in-needs.ts'

type ReadNeeds = Pick<SignInNeeds, 'vault' | 'clock' | 'tokens'> & AuthorizeNeeds

export type ValidatedToken = {
  readonly endUser: EndUserView
  readonly method: SignInMethod
  readonly authTimeMs: number
  readonly expireTimeMs: number
}

/** For keys that may read every wallet. Refuses: ACCESS_TOKEN_INVALID, another project's included; ACCESS_TOKEN_EXPIRED. */
export const validateAccessToken = async (
  needs: ReadNeeds,
  call: Call,
  { accessToken }: { readonly accessToken: string },
): Promise<ValidatedToken> => {
  const { vault, clock, tokens } = needs
  authorize(vault.read, needs, call, 'wallet:read')
  const verified = await tokens.verify(accessToken, clock.nowMs())
  const session = getSession(vault.read, verified.sessionId)
  if (verified.projectId !== call.caller.projectId || session === undefined) throw failure('ACCESS_TOKEN_INVALID', {})
  const { authTimeMs, expireTimeMs, userId, projectId } = verified
  return { endUser: requireEndUser(vault.read, projectId, userId), method: session.method, authTimeMs, expireTimeMs }
}

/** An end user finds themselves alone. Refuses with END_USER_NOT_FOUND. */
export const getEndUser = (needs: ReadNeeds, call: Call, { userId: text }: { readonly userId: string }): EndUserView => {
  const { vault } = needs
  const { caller } = call
  authorize(vault.read, needs, call, 'wallet:read')
  const own: UserId | undefined = caller.kind === 'end_user' ? caller.userId : undefined
  if (text === '' && own === undefined)
    throw invalidField('user_id', 'is required')
  const userId = text === '' ? own : parseUserId(text)
  if (own !== undefined && userId !== own) throw failure('END_USER_NOT_FOUND', {})
  return requireEndUser(vault.read, caller.projectId, userId)
}
