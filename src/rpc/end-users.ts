/** Who is calling, where it is a person: what their access token says. */
import { type EndUserCaller, endUserPrincipal, type ShownWalletSecret } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import type { ProjectId, UserId } from '../domain/ids.ts'
import type { ShownProof } from '../user/prove-request.ts'

/** What a good access token says of its holder. */
export type AccessToken = {
  readonly projectId: ProjectId
  readonly userId: UserId
  /** Its `jti`. */
  readonly tokenId: string
  /** When the person signed in, Unix milliseconds. */
  readonly authTimeMs: number
  readonly expireTimeMs: number
}

/** What is known of end users. Answers reflect every sign-out and every revocation that was acknowledged. */
export type EndUserDirectory = {
  /** Throws ACCESS_TOKEN_INVALID or ACCESS_TOKEN_EXPIRED, or rejects with it. */
  readonly verifyAccessToken: (token: string, nowMs: number) => AccessToken | Promise<AccessToken>
  /** Which wallet secret signed the request; using the proof up. Refuses as user/prove-request.ts does. */
  readonly proveWalletSecret: (caller: EndUserCaller, proof: ShownProof) => Promise<ShownWalletSecret>
  /** That the request is signed with the key it registers, in base64. */
  readonly proveNewWalletSecret: (publicKey: string, proof: ShownProof) => Promise<void>
  /** Throws when nothing more may be released to the caller: their token is over, or what they signed with is. */
  readonly assertStands: (caller: EndUserCaller, nowMs: number) => void
}

const refuse = (): never => {
  throw failure('ACCESS_TOKEN_INVALID', {})
}

/** Where nobody can sign in. */
export const NO_END_USERS: EndUserDirectory = {
  verifyAccessToken: refuse,
  proveWalletSecret: refuse,
  proveNewWalletSecret: refuse,
  assertStands: refuse,
}

const BEARER_JWT = /^Bearer +(?<token>[A-Za-z0-9_-]{1,2048}\.[A-Za-z0-9_-]{1,8192}\.[A-Za-z0-9_-]{1,1024})$/i

/** The JWT that a caller shows; undefined for everything else, as the secret of an API key, which holds no dot. */
export const bearerJwtOf = (authorization: string | null): string | undefined =>
  authorization?.includes('.') === true ? BEARER_JWT.exec(authorization)?.groups?.['token'] : undefined

export const toEndUser = ({ projectId, userId, tokenId, authTimeMs, expireTimeMs }: AccessToken): EndUserCaller => ({
  kind: 'end_user',
  principal: endUserPrincipal(projectId, userId),
  projectId,
  userId,
  accessTokenId: tokenId,
  authTimeMs,
  accessTokenExpireMs: expireTimeMs,
  walletSecret: undefined,
})
