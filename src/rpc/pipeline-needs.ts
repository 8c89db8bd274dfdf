/** What the pipeline stands on, and what it tells of each call. */
import type { Caller } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import type { FailureReason } from '../domain/failure.ts'
import type { RequestId } from '../domain/ids.ts'
import type { StageTimes } from '../domain/stages.ts'
import type { AdmissionLimits } from './admission.ts'
import type { ApiKeyDirectory, ApiKeyProofs } from './authenticate.ts'
import type { DelegateDirectory } from './delegates.ts'
import type { EndUserDirectory } from './end-users.ts'
import type { IdempotencyStore } from './idempotency.ts'
import type { RequestValidator } from './validate.ts'

/** One a call, when it has ended. `reason` is absent when it was answered. */
export type CallEvent = {
  readonly method: string
  /** Who called, as `Caller.principal`; undefined when nobody was known. */
  readonly callerId: string | undefined
  readonly reason: FailureReason | undefined
  readonly tookMs: number
  /** It was an item of a stream; the stream itself has an event of its own when it ends. */
  readonly isItem: boolean
  /** Where the time of a request for a signature went; absent for everything else. */
  readonly stages: StageTimes | undefined
}

export type CallObserver = {
  readonly onCall: (event: CallEvent) => void
  /** A bug: what the caller hears of as `internal error`. */
  readonly onInternalError: (method: string, error: unknown) => void
}

/** An authenticated caller was kept out by the access table. */
export type Denial = {
  readonly caller: Caller
  readonly method: string
  readonly requestId: RequestId | undefined
  readonly reason: FailureReason
}

export type PipelineLimits = {
  readonly unaryTimeoutMs: number
  readonly streamMaxAgeMs: number
  /** A stream of requests on which nothing is asked or answered for this long ends. */
  readonly streamIdleMs: number
  /** How long what is in work on it may take once it ends. */
  readonly streamDrainMs: number
  readonly maxStreamsPerKey: number
  /** Of streams that are each the answer to one request. */
  readonly maxAnswersPerKey: number
  /** Each is a row in the audit chain, so a caller gets only so many. */
  readonly maxDenialsPerSecond: number
  /** Of one end user, and of one address that calls without being known. */
  readonly maxEndUserRequestsPerSecond: number
  readonly maxPublicRequestsPerSecond: number
  readonly admission: AdmissionLimits
}

export const DEFAULT_LIMITS: Omit<PipelineLimits, 'admission'> = {
  unaryTimeoutMs: 30_000,
  streamMaxAgeMs: 12 * 3_600_000,
  streamIdleMs: 5 * 60_000,
  streamDrainMs: 10_000,
  maxStreamsPerKey: 64,
  maxAnswersPerKey: 1_024,
  maxDenialsPerSecond: 500,
  maxEndUserRequestsPerSecond: 200,
  maxPublicRequestsPerSecond: 200,
}

export type PipelineDependencies = {
  readonly directory: ApiKeyDirectory
  readonly keyProofs: ApiKeyProofs
  readonly users: EndUserDirectory
  readonly delegates: DelegateDirectory
  readonly idempotency: IdempotencyStore
  readonly validator: RequestValidator
  readonly observer: CallObserver
  /** Writes the audit row of a refusal; the refusal is answered once it is durable. */
  readonly recordDenial: (denial: Denial) => Promise<void>
  readonly clock: Clock
  /** Aborts when the daemon begins to stop: streams end, and no further call is let in. */
  readonly stopSignal: AbortSignal
  /** Aborts when calls in flight are no longer waited for. */
  readonly abandonSignal: AbortSignal
  readonly limits: PipelineLimits
}
