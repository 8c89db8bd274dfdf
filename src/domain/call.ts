import type { StageTimes } from './stages.ts'
import type { AccessId, ApiKeyId, ProjectId, RequestId, UserId } from './ids.ts'

/**
 * What kind of holder an API key has. `operator`: a key that holds `admin`, on any listener. `sidecar`: a unix socket
 * bound to an API key. `project`: any other API key, shown by the caller or mapped from a client certificate.
 */
export type ApiKeyCallerKind = 'project' | 'sidecar' | 'operator'

/** What a permission covers is decided later, from the key's stored grants. */
export type ApiKeyCaller = {
  readonly kind: ApiKeyCallerKind
  /** The API key's id. See `Caller`. */
  readonly principal: string
  readonly apiKeyId: ApiKeyId
  readonly projectId: ProjectId
  /** Names of the permissions the key holds, narrowed or not. */
  readonly permissions: ReadonlySet<string>
}

export type ShownWalletSecret = {
  readonly walletSecretId: string
  /** SHA-256 of its SPKI, lower-case hex: it stands only while this key has the id. */
  readonly keyHash: string
}

/** Somebody who signed in to a project, and their own wallets are all they may use. */
export type EndUserCaller = {
  readonly kind: 'end_user'
  /** `user:<project>/<user id>`. See `Caller`. */
  readonly principal: string
  readonly projectId: ProjectId
  readonly userId: UserId
  /** The access token's `jti`. */
  readonly accessTokenId: string
  /** When the person signed in, Unix milliseconds. */
  readonly authTimeMs: number
  /** The access token's end, Unix milliseconds. */
  readonly accessTokenExpireMs: number
  /** The wallet secret that signed this very request; undefined where none was shown. */
  readonly walletSecret: ShownWalletSecret | undefined
}

/** Another server that holds a share of one wallet: it showed the wallet API key of its access. */
export type DelegateCaller = {
  readonly kind: 'delegate'
  /** `delegate:<access id>`. See `Caller`. */
  readonly principal: string
  readonly projectId: ProjectId
  readonly accessId: AccessId
}

/**
 * An authenticated caller. `principal` is who request ids, rates, open streams, usage and audit rows are counted under; no
 * two callers have the same.
 */
export type Caller = ApiKeyCaller | EndUserCaller | DelegateCaller

export const delegatePrincipal = (accessId: AccessId): string => `delegate:${accessId}`

export const endUserPrincipal = (projectId: ProjectId, userId: UserId): string => `user:${projectId}/${userId}`

/** Of what is stored: whether a principal is a person's. */
export const isEndUserPrincipal = (principal: string): boolean => principal.startsWith('user:')

/** Who an audit row names as the one who acted. */
export const actorOf = ({
  kind,
  principal,
}: Caller): { readonly kind: 'api_key' | 'end_user' | 'delegate'; readonly id: string } => ({
  kind: kind === 'end_user' || kind === 'delegate' ? kind : 'api_key',
  id: principal,
})

/** The API key that calls, for what only API keys are let in to. */
export const apiKeyCallerOf = (caller: Caller): ApiKeyCaller => {
  if (caller.kind === 'end_user' || caller.kind === 'delegate')
    throw new Error('assertion: the access table lets API keys only in here')
  return caller
}

/** The end user who calls, for what only end users are let in to. */
export const endUserOf = (caller: Caller): EndUserCaller => {
  if (caller.kind !== 'end_user') throw new Error('assertion: the access table lets end users only in here')
  return caller
}

/** The delegate who calls, for what only delegates are let in to. */
export const delegateOf = (caller: Caller): DelegateCaller => {
  if (caller.kind !== 'delegate') throw new Error('assertion: the access table lets delegates only in here')
  return caller
}

/** What a use case knows of the call it serves; nothing of how the call came. */
export type Call = {
  readonly caller: Caller
  /** Full name without a leading slash: `countersign.v1.WalletService/SignMessage`. */
  readonly method: string
  readonly requestId: RequestId | undefined
  /** An earlier attempt under this request id was cut off, and may have done its work in part or in whole. */
  readonly isRepeat: boolean
  /** What to do when no presignature is ready. */
  readonly whenPoolIsEmpty: 'wait' | 'fail'
  /** Unix milliseconds after which nothing may be released. */
  readonly deadlineMs: number
  /** Aborts at the deadline, when the caller cancels, and when the daemon stops. */
  readonly signal: AbortSignal
  /** Where its time goes. */
  readonly stages: StageTimes
  /**
   * What the answer must pass in the turn of the event loop in which it leaves, however long it waited to be read: each
   * throws what the answer is then replaced with. Use cases add to it.
   */
  readonly releaseChecks: (() => void)[]
}

/** A call that anybody may make, of whom nothing is known but where they call from. */
export type PublicCall = Omit<Call, 'caller'> & {
  /** The remote IP address; undefined on a unix socket. */
  readonly peerAddress: string | undefined
}
