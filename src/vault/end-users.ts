import { randomBytes } from 'node:crypto'
import type { ProjectId, UserId } from '../domain/ids.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import type { Reader, Tx } from './store.ts'
import { u64 } from './tagged-encoding.ts'
import type { SignInMethod } from './user-sessions.ts'

/**
 * End users, and what they are known again by: of a JWT the user id itself, of an e-mail code the address, of an OpenID
 * provider its issuer and subject. The way from an identity to a user is under a MAC: it decides whose wallets somebody
 * reaches.
 */
export type EndUser = {
  readonly project: ProjectId
  readonly userId: UserId
  readonly createMs: number
}

export type Identity = {
  readonly method: SignInMethod
  /** `jwt`: the user id. `email`: the address in lower case. `oidc`: `<issuer> <subject>`. */
  readonly subject: string
  readonly createMs: number
}

type UserRow = { project: string; user_id: string; create_ms: bigint }
type IdentityRow = {
  project: string
  method: string
  subject: string
  user_id: string
  create_ms: bigint
  mac: Buffer
}

const macItems = (row: Omit<IdentityRow, 'mac'>) => [
  row.project, row.method, row.subject, row.user_id, u64(row.create_ms),
]

const checked = (reader: Reader, row: IdentityRow): IdentityRow => {
  requireRowMac(reader, 'end_user_identities', macItems(row), row.mac)
  return row
}

export const getEndUser = (reader: Reader, project: ProjectId, userId: UserId): EndUser | undefined => {
  const row = reader.one<UserRow>('SELECT project, user_id, create_ms FROM end_users WHERE project = ? AND user_id = ?', project, userId)
  return row && { project, userId, createMs: Number(row.create_ms) }
}

/** Every identity of a user, in the order in which they came. VAULT_CORRUPT for an altered row. */
export const listIdentities = (reader: Reader, project: ProjectId, userId: UserId): Identity[] =>
  reader
    .all<IdentityRow>(
      'SELECT * FROM end_user_identities WHERE project = ? AND user_id = ? ORDER BY create_ms, method, subject LIMIT 100',
      project,
      userId,
    )
    .map((row) => {
      const { method, subject, create_ms: createMs } = checked(reader, row)
      return { method: method as SignInMethod, subject, createMs: Number(createMs) }
    })

const FIND = 'SELECT * FROM end_user_identities WHERE project = ? AND method = ? AND subject = ?'

/** What a generated user id begins with; no user id of a project's own tokens does. */
export const GENERATED_USER_ID = /^usr_/i

export type Signing = {
  readonly project: ProjectId
  readonly method: SignInMethod
  readonly subject: string
  /** Where the identity itself says who it is of; otherwise a new user gets a generated id. */
  readonly userId?: UserId | undefined
  readonly nowMs: number
}

/** The user of an identity, made at their first sign-in. */
export const findOrCreateEndUser = (tx: Tx, signing: Signing): { readonly user: EndUser; readonly isNew: boolean } => {
  const { project, method, subject, nowMs } = signing
  const known = tx.one<IdentityRow>(FIND, project, method, subject)
  const userId = (known === undefined ? (signing.userId ?? `usr_${randomBytes(16).toString('hex')}`) : checked(tx, known).user_id) as UserId
  const before = getEndUser(tx, project, userId)
  if (before === undefined) tx.run('INSERT INTO end_users (project, user_id, create_ms) VALUES (?, ?, ?)', project, userId, nowMs)
  if (known === undefined) {
    const row = { project, method, subject, user_id: userId, create_ms: BigInt(nowMs) }
    tx.run(
      'INSERT INTO end_user_identities (project, method, subject, user_id, create_ms, mac) VALUES (?, ?, ?, ?, ?, ?)',
      row.project, row.method, row.subject, row.user_id, row.create_ms, rowMac(tx, 'end_user_identities', macItems(row)),
    )
  }
  return { user: before ?? { project, userId, createMs: nowMs }, isNew: before === undefined }
}
