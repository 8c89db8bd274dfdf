/** What every way of signing in ends with: the person's record, a session, its tokens, two rows of the audit chain. */
import { endUserPrincipal } from '../domain/call.ts'
import type { ProjectId, UserId } from '../domain/ids.ts'
import type { Secret } from '../domain/secret.ts'
import { appendAudit, type AuditEvent } from '../vault/audit-chain.ts'
import { type EndUser, findOrCreateEndUser } from '../vault/end-users.ts'
import type { Tx } from '../vault/store.ts'
import {
  insertSession,
  type IssuedRefreshToken,
  issueRefreshToken,
  type SignInMethod,
  type UserSession,
} from '../vault/user-sessions.ts'
import { ACCESS_TOKEN_LIFE_MS, type AccessTokenDraft } from './access-tokens.ts'
import { type EndUserView, viewEndUser } from './end-user-view.ts'
import type { SignInNeeds } from './sign-in-needs.ts'

export const REFRESH_TOKEN_LIFE_MS = 7 * 86_400_000

export type SignedIn = {
  readonly endUser: EndUserView
  readonly isNewEndUser: boolean
  readonly accessToken: string
  readonly accessTokenExpireMs: number
  /** Undefined for who signed in with a JWT: whoever issued that says for how long the person is signed in. */
  readonly refreshToken: { readonly token: Secret<string>; readonly expireMs: number } | undefined
}

export type ProvenIdentity = {
  readonly project: ProjectId
  readonly method: SignInMethod
  readonly subject: string
  readonly userId?: UserId | undefined
  /** Without the service: `AuthenticateWithJwt`. */
  readonly rpc: string
}

/** One event of an end user, chained in the transaction that makes it so. */
export const recordUserEvent = (
  tx: Tx,
  { project, userId }: { readonly project: ProjectId; readonly userId: UserId },
  event: Pick<AuditEvent, 'timeMs' | 'kind' | 'method' | 'requestId' | 'decision' | 'reason' | 'details'>,
): void => {
  const actor = { kind: 'end_user', id: endUserPrincipal(project, userId) } as const
  appendAudit(tx, { ...event, project, actor, subject: { type: 'end_user', id: userId } })
}

type Begun = {
  readonly user: EndUser
  readonly isNew: boolean
  readonly draft: AccessTokenDraft
  readonly refresh: IssuedRefreshToken | undefined
}

/** In a transaction of the caller's: what proves the identity may be used up in the same one. */
export const beginSession = (needs: SignInNeeds, tx: Tx, identity: ProvenIdentity, nowMs: number): Begun => {
  const { project, method, subject, userId, rpc } = identity
  const { user, isNew } = findOrCreateEndUser(tx, { project, method, subject, userId, nowMs })
  const isRefreshed = method !== 'jwt'
  const expireMs = nowMs + (isRefreshed ? REFRESH_TOKEN_LIFE_MS : ACCESS_TOKEN_LIFE_MS)
  const session: UserSession = insertSession(tx, { project, userId: user.userId, method, nowMs, expireMs })
  const draft = needs.tokens.draft(tx, session, nowMs)
  const refresh = isRefreshed ? issueRefreshToken(tx, session) : undefined
  const event = { timeMs: nowMs, method: rpc, decision: 'allow' } as const
  if (isNew) recordUserEvent(tx, user, { ...event, kind: 'user.created' })
  recordUserEvent(tx, user, { ...event, kind: 'user.signed_in', details: { method, session: session.sessionId } })
  return { user, isNew, draft, refresh }
}

/** The answer, once the transaction is durable. */
export const answerSession = async (needs: SignInNeeds, { user, isNew, draft, refresh }: Begun): Promise<SignedIn> => ({
  endUser: viewEndUser(needs.vault.read, user),
  isNewEndUser: isNew,
  accessToken: await needs.tokens.sign(draft),
  accessTokenExpireMs: draft.expireMs,
  refreshToken: refresh,
})
