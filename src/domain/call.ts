import type { StageTimes } from './stages.ts'
import type { ApiKeyId, ProjectId, RequestId } from './ids.ts'

/**
 * Who a caller is. `operator`: an API key that holds `admin`, on any listener. `sidecar`: a unix socket bound to
 * an API key. `project`: any other API key, presented as a bearer token or mapped from a client certificate.
 */
export type CallerKind = 'project' | 'sidecar' | 'operator'

export const CALLER_KINDS: readonly CallerKind[] = ['project', 'sidecar', 'operator']

/** An authenticated caller. What a permission covers is decided later, from the key's stored grants. */
export type Caller = {
  readonly kind: CallerKind
  readonly apiKeyId: ApiKeyId
  readonly projectId: ProjectId
  /** Names of the permissions the key holds, narrowed or not. */
  readonly permissions: ReadonlySet<string>
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
