/**
 * Access tokens: what an end user shows with each call. JWTs of half an hour, signed by keys of this daemon that anybody
 * can look up (`/.well-known/jwks.json`). A token belongs to a session and ends with it.
 */
import { createPublicKey, type KeyObject, randomBytes } from 'node:crypto'
import { compactVerify, SignJWT } from 'jose'
import { failure } from '../domain/failure.ts'
import { parseProjectId, parseUserId, type ProjectId, type UserId } from '../domain/ids.ts'
import { isJsonNumber } from '../payload/json.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import type { Tx } from '../vault/store.ts'
import { currentTokenKey, findTokenKey, listTokenKeys, openTokenKey } from '../vault/token-keys.ts'
import { getSession, sessionIdOf, type UserSession } from '../vault/user-sessions.ts'
import { checkAudience, checkIssuer, checkTimes, JwtRefused, parseStrictJwt, type StrictJwt, textClaim } from './strict-jwt.ts'

export const ACCESS_TOKEN_LIFE_MS = 1_800_000
const ISSUER = 'countersign'
const AUDIENCE = 'countersign'
const ALGORITHM = 'ES256'

/** What a good access token says of its holder. */
export type VerifiedAccessToken = {
  readonly projectId: ProjectId
  readonly userId: UserId
  /** Its `jti`: the session's id, a dot, 16 hex digits. */
  readonly tokenId: string
  readonly sessionId: string
  readonly authMethod: string
  /** When the person signed in, Unix milliseconds. */
  readonly authTimeMs: number
  readonly expireTimeMs: number
}

/** A token that is decided and not yet signed. */
export type AccessTokenDraft = {
  readonly keyId: string
  readonly claims: Readonly<Record<string, string | number>>
  readonly expireMs: number
}

export type KeySet = { readonly keys: readonly Readonly<Record<string, unknown>>[] }

export type AccessTokens = {
  /** In the transaction that makes or goes on with the session. */
  readonly draft: (tx: Tx, session: UserSession, nowMs: number) => AccessTokenDraft
  /** Once that is durable. */
  readonly sign: (draft: AccessTokenDraft) => Promise<string>
  /** Refuses: ACCESS_TOKEN_INVALID; ACCESS_TOKEN_EXPIRED only a token that was good. */
  readonly verify: (token: string, nowMs: number) => Promise<VerifiedAccessToken>
  /** Refuses as `verify`, for a token that was verified before. */
  readonly assertStands: (token: { readonly tokenId: string; readonly expireTimeMs: number }, nowMs: number) => void
  /** The public keys, the next one's included. */
  readonly keySet: (nowMs: number) => KeySet
}

const draftToken = (keyId: string, session: UserSession, nowMs: number): AccessTokenDraft => {
  const issued = Math.floor(nowMs / 1_000)
  const expires = issued + ACCESS_TOKEN_LIFE_MS / 1_000
  const claims = {
    iss: ISSUER,
    aud: AUDIENCE,
    sub: session.userId,
    project_id: session.project,
    auth_type: session.method,
    auth_time: Math.floor(session.authMs / 1_000),
    jti: `${session.sessionId}.${randomBytes(8).toString('hex')}`,
    iat: issued,
    exp: expires,
  }
  return { keyId, claims, expireMs: expires * 1_000 }
}

const expired = (expireMs: number) => failure('ACCESS_TOKEN_EXPIRED', { expireTime: new Date(expireMs).toISOString() })

/** Public keys as objects, for as long as their row says the same. */
const publicKeys = () => {
  const known = new Map<string, { readonly der: Uint8Array; readonly key: KeyObject }>()
  return (keyId: string, der: Uint8Array): KeyObject => {
    const found = known.get(keyId)
    if (found !== undefined && Buffer.compare(found.der, der) === 0) return found.key
    const key = createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' })
    known.set(keyId, { der, key })
    return key
  }
}

const readClaims = ({ claims }: StrictJwt): Omit<VerifiedAccessToken, 'expireTimeMs'> => {
  checkIssuer(claims, [ISSUER])
  checkAudience(claims, [AUDIENCE])
  const projectId = parseProjectId(textClaim(claims, 'project_id'))
  const userId = parseUserId(textClaim(claims, 'sub'))
  const authTime = claims.get('auth_time')
  const tokenId = textClaim(claims, 'jti')
  if (projectId === undefined || userId === undefined || !isJsonNumber(authTime)) throw new JwtRefused('claim')
  return {
    projectId,
    userId,
    tokenId,
    sessionId: sessionIdOf(tokenId),
    authMethod: textClaim(claims, 'auth_type'),
    authTimeMs: Number(authTime.numberText) * 1_000,
  }
}

/** Whoever held the vault's key could write any claim, so these are compared with the session they name. */
const requireSession = (vault: DaemonVault, sessionId: string): UserSession => {
  const session = getSession(vault.read, sessionId)
  if (session?.state !== 'ACTIVE') throw failure('ACCESS_TOKEN_INVALID', {})
  return session
}

const verifyToken = async (vault: DaemonVault, keyOf: ReturnType<typeof publicKeys>, token: string, nowMs: number) => {
  const jwt = parseStrictJwt(token)
  if (jwt.alg !== ALGORITHM || jwt.kid === undefined) throw new JwtRefused('algorithm')
  const key = findTokenKey(vault.read, jwt.kid, nowMs)
  if (key === undefined) throw new JwtRefused('key_unknown')
  await compactVerify(token, keyOf(key.keyId, key.publicKey), { algorithms: [ALGORITHM] }).catch(() => {
    throw new JwtRefused('signature')
  })
  const verified = readClaims(jwt)
  const { expireMs: expireTimeMs } = checkTimes(jwt.claims, nowMs, 0)
  const session = requireSession(vault, verified.sessionId)
  if (session.project !== verified.projectId || session.userId !== verified.userId) throw new JwtRefused('claim')
  return { ...verified, expireTimeMs }
}

export const createAccessTokens = (vault: DaemonVault): AccessTokens => {
  const signing = new Map<string, KeyObject>()
  const keyOf = publicKeys()
  const privateKey = (keyId: string): KeyObject => {
    const key = signing.get(keyId) ?? openTokenKey(vault.secrets, keyId)
    if (!signing.has(keyId)) signing.clear()
    signing.set(keyId, key)
    return key
  }
  return {
    draft: (tx, session, nowMs) => draftToken(currentTokenKey(tx, vault.secrets, nowMs).keyId, session, nowMs),
    sign: ({ keyId, claims }) =>
      new SignJWT({ ...claims }).setProtectedHeader({ alg: ALGORITHM, kid: keyId, typ: 'JWT' }).sign(privateKey(keyId)),
    verify: (token, nowMs) =>
      verifyToken(vault, keyOf, token, nowMs).catch((error: unknown) => {
        if (!(error instanceof JwtRefused)) throw error
        throw error.expireMs === undefined ? failure('ACCESS_TOKEN_INVALID', {}) : expired(error.expireMs)
      }),
    assertStands: ({ tokenId, expireTimeMs }, nowMs) => {
      if (nowMs >= expireTimeMs) throw expired(expireTimeMs)
      requireSession(vault, sessionIdOf(tokenId))
    },
    keySet: (nowMs) => ({
      keys: listTokenKeys(vault.read, nowMs).map(({ keyId, publicKey }) => ({
        ...keyOf(keyId, publicKey).export({ format: 'jwk' }),
        kid: keyId,
        use: 'sig',
        alg: ALGORITHM,
      })),
    }),
  }
}
