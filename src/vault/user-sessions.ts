import { randomBytes } from 'node:crypto'
import { failure } from '../domain/failure.ts'
import type { ProjectId, RequestId, UserId } from '../domain/ids.ts'
import { Secret } from '../domain/secret.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import type { Reader, Tx } from './store.ts'
import { macTagged, u64 } from './tagged-encoding.ts'

/**
 * Sessions: one a sign-in, with everything that comes of it. A session that has ended takes its access tokens and
 * refresh tokens along, at once and for good.
 *
 * A refresh token is good for one use: using it makes the next. One that was used before says that two hold it, and
 * which of them is the thief cannot be told, so the session ends. Tokens are kept as MACs under a key of the vault, in rows
 * under a MAC: a token that was moved to another session in the file is nobody's.
 */
export type SignInMethod = 'jwt' | 'email' | 'oidc'
export type SessionState = 'ACTIVE' | 'SIGNED_OUT' | 'REUSED' | 'EVICTED'

export type UserSession = {
  /** `ses_` and 32 hex digits. */
  readonly sessionId: string
  readonly project: ProjectId
  readonly userId: UserId
  readonly method: SignInMethod
  readonly state: SessionState
  /** When the person signed in. */
  readonly authMs: number
  /** No token of it is good for longer. */
  readonly expireMs: number
}

type Row = {
  session_id: string
  project: string
  user_id: string
  method: string
  state: string
  auth_ms: bigint
  expire_ms: bigint
  mac: Buffer
}

const macItems = (row: Omit<Row, 'mac'>) => [
  row.session_id, row.project, row.user_id, row.method, row.state, u64(row.auth_ms), u64(row.expire_ms),
]

const toSession = (reader: Reader, row: Row): UserSession => {
  requireRowMac(reader, 'user_sessions', macItems(row), row.mac)
  return {
    sessionId: row.session_id,
    project: row.project as ProjectId,
    userId: row.user_id as UserId,
    method: row.method as SignInMethod,
    state: row.state as SessionState,
    authMs: Number(row.auth_ms),
    expireMs: Number(row.expire_ms),
  }
}

const READ = 'SELECT * FROM user_sessions WHERE session_id = ?'

/** VAULT_CORRUPT for an altered row. */
export const getSession = (reader: Reader, sessionId: string): UserSession | undefined => {
  const row = reader.one<Row>(READ, sessionId)
  return row && toSession(reader, row)
}

/** The session that an access token is of, by the token's `jti`. */
export const sessionIdOf = (accessTokenId: string): string => accessTokenId.split('.', 1)[0] ?? ''

/** In the transaction of what somebody does who showed the token: refuses with ACCESS_TOKEN_INVALID once they signed out. */
export const requireNotEnded = (reader: Reader, accessTokenId: string): void => {
  const session = getSession(reader, sessionIdOf(accessTokenId))
  if (session !== undefined && session.state !== 'ACTIVE') throw failure('ACCESS_TOKEN_INVALID', {})
}

const write = (tx: Tx, row: Omit<Row, 'mac'>): UserSession => {
  const mac = rowMac(tx, 'user_sessions', macItems(row))
  tx.run(
    `UPDATE user_sessions SET state = ?, expire_ms = ?, mac = ? WHERE session_id = ?`,
    row.state, row.expire_ms, mac, row.session_id,
  )
  return toSession(tx, { ...row, mac })
}

/** Beyond it the oldest gives way, so that a sign-in in a loop fills no disk. */
const SESSIONS_PER_USER = 32

const OLDEST = `SELECT * FROM user_sessions WHERE project = ? AND user_id = ? AND state = 'ACTIVE'
  ORDER BY auth_ms DESC, session_id LIMIT -1 OFFSET ?`

export type NewSession = {
  readonly project: ProjectId
  readonly userId: UserId
  readonly method: SignInMethod
  readonly nowMs: number
  readonly expireMs: number
}

export const insertSession = (tx: Tx, fresh: NewSession): UserSession => {
  const row = {
    session_id: `ses_${randomBytes(16).toString('hex')}`,
    project: fresh.project,
    user_id: fresh.userId,
    method: fresh.method,
    state: 'ACTIVE',
    auth_ms: BigInt(fresh.nowMs),
    expire_ms: BigInt(fresh.expireMs),
  }
  for (const old of tx.all<Row>(OLDEST, fresh.project, fresh.userId, SESSIONS_PER_USER - 1))
    endSession(tx, toSession(tx, old), 'EVICTED')
  const mac = rowMac(tx, 'user_sessions', macItems(row))
  tx.run(
    `INSERT INTO user_sessions (session_id, project, user_id, method, state, auth_ms, expire_ms, mac)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    row.session_id, row.project, row.user_id, row.method, row.state, row.auth_ms, row.expire_ms, mac,
  )
  return toSession(tx, { ...row, mac })
}

/** Ends it and forgets its unused refresh token; one that has ended stays as it is. */
export const endSession = (tx: Tx, { sessionId }: UserSession, state: Exclude<SessionState, 'ACTIVE'>): void => {
  const row = tx.one<Row>(READ, sessionId)
  if (row === undefined || toSession(tx, row).state !== 'ACTIVE') return
  write(tx, { ...row, state })
}

/** `crt_` and 43 base64url characters: 32 random bytes. */
const REFRESH_TOKEN = /^crt_[A-Za-z0-9_-]{43}$/

const tokenMac = (reader: Reader, token: string): Buffer =>
  macTagged(reader.keys.apiKeyPepper, 'countersign/refresh-token/v1', [token])

export type IssuedRefreshToken = { readonly token: Secret<string>; readonly expireMs: number }

type TokenRow = {
  token_mac: Buffer
  session_id: string
  state: string
  expire_ms: bigint
  use_ms: bigint | null
  use_request_id: string
  mac: Buffer
}

const tokenMacItems = (row: Omit<TokenRow, 'mac'>) => [
  row.token_mac, row.session_id, row.state, u64(row.expire_ms), row.use_ms === null ? '' : u64(row.use_ms), row.use_request_id,
]

/** VAULT_CORRUPT for an altered row. */
const checkToken = (reader: Reader, row: TokenRow): void =>
  requireRowMac(reader, 'refresh_tokens', tokenMacItems(row), row.mac)

const insertToken = (tx: Tx, sessionId: string, expireMs: number): IssuedRefreshToken => {
  const token = `crt_${randomBytes(32).toString('base64url')}`
  const fresh = { token_mac: tokenMac(tx, token), session_id: sessionId, state: 'CURRENT', expire_ms: BigInt(expireMs) }
  const row = { ...fresh, use_ms: null, use_request_id: '' }
  tx.run(
    `INSERT INTO refresh_tokens (token_mac, session_id, state, expire_ms, use_ms, use_request_id, mac)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
    row.token_mac, row.session_id, row.state, row.expire_ms, row.use_ms, row.use_request_id,
    rowMac(tx, 'refresh_tokens', tokenMacItems(row)),
  )
  return { token: new Secret(token), expireMs }
}

/** The first refresh token of a session that has none. */
export const issueRefreshToken = (tx: Tx, { sessionId, expireMs }: UserSession): IssuedRefreshToken =>
  insertToken(tx, sessionId, expireMs)

export type Presented =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'ended' }
  | { readonly kind: 'expired'; readonly expireMs: number }
  /** It was used before, or another took its place; `isRepeat`: by the same request, whose answer may never have arrived. */
  | { readonly kind: 'used'; readonly session: UserSession; readonly isRepeat: boolean }
  | { readonly kind: 'current'; readonly session: UserSession }

/** How long the request that used a token may be asked again. */
const REPEAT_MS = 60_000

export type PresentedBy = {
  readonly project: ProjectId
  readonly requestId: RequestId | undefined
  readonly nowMs: number
}

const LATER = `SELECT 1 FROM refresh_tokens WHERE session_id = ? AND state = 'USED' AND use_ms >= ? AND token_mac <> ?`

/** Whether a token that came of this one was used: then its answer did arrive. */
const isAnswered = (reader: Reader, row: TokenRow): boolean =>
  reader.one(LATER, row.session_id, row.use_ms, row.token_mac) !== undefined

/** What a text that is presented as a refresh token is. Another project's is unknown. */
export const findRefreshToken = (reader: Reader, text: string, { project, requestId, nowMs }: PresentedBy): Presented => {
  if (!REFRESH_TOKEN.test(text)) return { kind: 'unknown' }
  const row = reader.one<TokenRow>('SELECT * FROM refresh_tokens WHERE token_mac = ?', tokenMac(reader, text))
  const session = row === undefined ? undefined : getSession(reader, row.session_id)
  if (row === undefined || session === undefined || session.project !== project) return { kind: 'unknown' }
  checkToken(reader, row)
  if (session.state !== 'ACTIVE') return { kind: 'ended' }
  if (row.state === 'USED') {
    const isSame = requestId !== undefined && requestId === row.use_request_id && nowMs < Number(row.use_ms) + REPEAT_MS
    return { kind: 'used', session, isRepeat: isSame && !isAnswered(reader, row) }
  }
  const expireMs = Number(row.expire_ms)
  return nowMs >= expireMs ? { kind: 'expired', expireMs } : { kind: 'current', session }
}

export type Rotation = PresentedBy & { readonly text: string; readonly expireMs: number }

const writeToken = (tx: Tx, row: TokenRow, change: Pick<TokenRow, 'use_ms' | 'use_request_id'>): void => {
  checkToken(tx, row)
  const next = { ...row, ...change, state: 'USED' }
  tx.run(
    'UPDATE refresh_tokens SET state = ?, use_ms = ?, use_request_id = ?, mac = ? WHERE token_mac = ?',
    next.state, next.use_ms, next.use_request_id, rowMac(tx, 'refresh_tokens', tokenMacItems(next)), row.token_mac,
  )
}

const CURRENT = `SELECT * FROM refresh_tokens WHERE session_id = ? AND state = 'CURRENT'`

/**
 * Puts the next token in the place of the presented one, which `findRefreshToken` found to be `current`, or `used` by the
 * same request: then in the place of the one that the lost answer held. That one counts as used from then on: who shows
 * it has the answer, and somebody else has the other.
 */
export const rotateRefreshToken = (
  tx: Tx,
  { sessionId }: UserSession,
  { text, requestId, nowMs, expireMs }: Rotation,
): { readonly session: UserSession; readonly issued: IssuedRefreshToken } => {
  const presented = tokenMac(tx, text)
  for (const row of tx.all<TokenRow>(CURRENT, sessionId)) {
    const isPresented = row.token_mac.equals(presented)
    writeToken(tx, row, isPresented ? { use_ms: BigInt(nowMs), use_request_id: requestId ?? '' } : { use_ms: null, use_request_id: '' })
  }
  const row = tx.one<Row>(READ, sessionId)
  if (row === undefined) throw failure('REFRESH_TOKEN_INVALID', {})
  toSession(tx, row)
  const session = write(tx, { ...row, expire_ms: BigInt(expireMs) })
  return { session, issued: insertToken(tx, sessionId, expireMs) }
}

/** Forgets sessions and tokens whose time is over, at most `limit` of each; answers how many there were of the more. */
export const pruneSessions = (tx: Tx, nowMs: number, limit: number): number => {
  const tokens = tx.run(
    `DELETE FROM refresh_tokens WHERE token_mac IN (SELECT token_mac FROM refresh_tokens WHERE expire_ms <= ? LIMIT ?)`,
    nowMs, limit,
  )
  const sessions = tx.run(
    `DELETE FROM user_sessions WHERE session_id IN (SELECT session_id FROM user_sessions AS over WHERE expire_ms <= ?
       AND NOT EXISTS (SELECT 1 FROM refresh_tokens WHERE refresh_tokens.session_id = over.session_id) LIMIT ?)`,
    nowMs, limit,
  )
  return Math.max(tokens, sessions)
}
