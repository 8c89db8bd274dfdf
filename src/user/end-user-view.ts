import { failure } from '../domain/failure.ts'
import type { ProjectId, UserId } from '../domain/ids.ts'
import { type EndUser, getEndUser, listIdentities } from '../vault/end-users.ts'
import type { Reader } from '../vault/store.ts'
import type { SignInMethod } from '../vault/user-sessions.ts'

export type IdentityView = {
  readonly method: SignInMethod
  /** The user id of a JWT, an e-mail address, or issuer and subject with a space between them. */
  readonly subject: string
  readonly createTimeMs: number
}

export type EndUserView = {
  readonly projectId: ProjectId
  readonly userId: UserId
  readonly createTimeMs: number
  readonly identities: readonly IdentityView[]
}

export const viewEndUser = (reader: Reader, { project, userId, createMs }: EndUser): EndUserView => ({
  projectId: project,
  userId,
  createTimeMs: createMs,
  identities: listIdentities(reader, project, userId).map((identity) => ({
    method: identity.method,
    subject: identity.subject,
    createTimeMs: identity.createMs,
  })),
})

/** Refuses with END_USER_NOT_FOUND. */
export const requireEndUser = (reader: Reader, project: ProjectId, userId: UserId | undefined): EndUserView => {
  const user = userId === undefined ? undefined : getEndUser(reader, project, userId)
  if (user === undefined) throw failure('END_USER_NOT_FOUND', {})
  return viewEndUser(reader, user)
}
