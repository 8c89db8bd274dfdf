/** Going on with a session, and ending it. */
import { failure, isFailure } from '../domain/failure.ts'
import type { RequestId } from '../domain/ids.ts'
import type { ProjectSettings } from '../domain/project-settings.ts'
import type { Tx } from '../vault/store.ts'
import {
  endSession,
  findRefreshToken,
  getSession,
  type IssuedRefreshToken,
  rotateRefreshToken,
  type UserSession,
} from '../vault/user-sessions.ts'
import type { AccessTokenDraft } from './access-tokens.ts'
import { recordUserEvent, REFRESH_TOKEN_LIFE_MS, type SignedIn } from './begin-session.ts'
import { requireEndUser } from './end-user-view.ts'
import { type SignInNeeds, type VisitedProject, type Visitor, visitProject } from './sign-in-needs.ts'

type Refreshing = { readonly refreshToken: string; readonly requestId: RequestId | undefined }

type Outcome =
  | { readonly kind: 'reused' }
  | { readonly kind: 'refreshed'; readonly session: UserSession; readonly issued: IssuedRefreshToken; readonly draft: AccessTokenDraft }

const RPC = 'RefreshAccessToken'

/** The end of a session that two hold the token of is committed before it is told. */
const endReused = (tx: Tx, session: UserSession, nowMs: number): Outcome => {
  endSession(tx, session, 'REUSED')
  const what = { timeMs: nowMs, kind: 'user.refresh_token_reused', method: RPC, decision: 'refuse' } as const
  recordUserEvent(tx, session, { ...what, reason: 'REFRESH_TOKEN_REUSED', details: { session: session.sessionId } })
  return { kind: 'reused' }
}

/** What a project turned off nobody goes on with, either. */
const requireMethod = (settings: ProjectSettings, { method }: UserSession): void => {
  const isOn = method === 'email' ? settings.emailSignIn !== undefined : method === 'oidc' && settings.oidcProviders.length > 0
  if (!isOn) throw failure('SIGN_IN_NOT_ENABLED', { method })
}

const refresh = (needs: SignInNeeds, tx: Tx, visited: VisitedProject, { refreshToken: text, requestId }: Refreshing): Outcome => {
  const { projectId: project, settings } = visited
  const nowMs = Math.trunc(needs.clock.nowMs())
  const by = { project, requestId, nowMs }
  const found = findRefreshToken(tx, text, by)
  if (found.kind === 'unknown' || found.kind === 'ended') throw failure('REFRESH_TOKEN_INVALID', {})
  if (found.kind === 'expired') throw failure('REFRESH_TOKEN_EXPIRED', { expireTime: new Date(found.expireMs).toISOString() })
  if (found.kind === 'used' && !found.isRepeat) return endReused(tx, found.session, nowMs)
  requireMethod(settings, found.session)
  const rotated = rotateRefreshToken(tx, found.session, { ...by, text, expireMs: nowMs + REFRESH_TOKEN_LIFE_MS })
  const { session } = rotated
  const details = { session: session.sessionId }
  recordUserEvent(tx, session, { timeMs: nowMs, kind: 'user.token_refreshed', method: RPC, requestId, decision: 'allow', details })
  return { kind: 'refreshed', ...rotated, draft: needs.tokens.draft(tx, session, nowMs) }
}

/**
 * Refuses: REFRESH_TOKEN_INVALID, REFRESH_TOKEN_EXPIRED, REFRESH_TOKEN_REUSED, SIGN_IN_NOT_ENABLED, and as `visitProject`. A request whose
 * answer was lost may be asked again under its request id within a minute.
 */
export const refreshAccessToken = async (needs: SignInNeeds, visitor: Visitor, args: Refreshing): Promise<SignedIn> => {
  const visited = visitProject(needs, visitor)
  const { projectId: project } = visited
  const outcome = await needs.vault.commit((tx) => refresh(needs, tx, visited, args))
  if (outcome.kind === 'reused') throw failure('REFRESH_TOKEN_REUSED', {})
  return {
    endUser: requireEndUser(needs.vault.read, project, outcome.session.userId),
    isNewEndUser: false,
    accessToken: await needs.tokens.sign(outcome.draft),
    accessTokenExpireMs: outcome.draft.expireMs,
    refreshToken: outcome.issued,
  }
}

const verifyIfAny = async ({ tokens }: SignInNeeds, accessToken: string, isBesideAnother: boolean, nowMs: number) => {
  try {
    return await tokens.verify(accessToken, nowMs)
  } catch (error) {
    if (isBesideAnother && isFailure(error)) return undefined
    throw error
  }
}

/**
 * Ends the session that either token is of; a token of no session, or of one that has ended, changes nothing. Once this
 * has returned no token of the session is good any more. Beside a refresh token, an access token that is over or none
 * keeps nobody signed in; alone it is refused as at any call.
 */
export const signOut = async (
  needs: SignInNeeds,
  visitor: Visitor,
  { refreshToken, accessToken }: { readonly refreshToken: string; readonly accessToken: string },
): Promise<void> => {
  const { projectId: project } = visitProject(needs, visitor)
  const nowMs = Math.trunc(needs.clock.nowMs())
  const verified = accessToken === '' ? undefined : await verifyIfAny(needs, accessToken, refreshToken !== '', nowMs)
  await needs.vault.commit((tx) => {
    const found = findRefreshToken(tx, refreshToken, { project, requestId: undefined, nowMs })
    const ofRefresh = 'session' in found ? found.session : undefined
    const ofAccess = verified?.projectId === project ? getSession(tx, verified.sessionId) : undefined
    for (const session of [ofRefresh, ofAccess]) {
      if (session === undefined || getSession(tx, session.sessionId)?.state !== 'ACTIVE') continue
      endSession(tx, session, 'SIGNED_OUT')
      const details = { session: session.sessionId }
      recordUserEvent(tx, session, { timeMs: nowMs, kind: 'user.signed_out', method: 'SignOut', decision: 'allow', details })
    }
  })
}
